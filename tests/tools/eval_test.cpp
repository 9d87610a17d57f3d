#include <cmath>
#include <iostream>
#include <sstream>

#include "core/base/json.h"
#include "core/base/log.h"
#include "data/prepare.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/fake_model.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"
#include "tools/commands.h"

namespace a48::tools {
namespace {

constexpr std::int64_t kVocab = 259;  // of the byte tokenizer
constexpr std::int64_t kContext = 32;

/// Opens a fake model with the byte tokenizer, or with the one at `tokenizer`; `kind` says another.
ServingOpener fake_opener(const std::string& tokenizer = "", const std::string& kind = "",
                          const std::string& sha256 = "") {
  return [tokenizer, kind, sha256](const std::string& path, const Serving& serving) {
    CHECK(path == "runs/fake");
    CHECK(!serving.mode.has_value());
    CHECK(!serving.cache.has_value());
    train::OpenedModel opened;
    opened.model = std::make_unique<test::FakeModel>(tokenizer.empty() ? kVocab : 400, kContext);
    opened.checkpoint = "runs/fake/checkpoints/step-00000007";
    opened.step = 7;
    opened.tokenizer_path = tokenizer;
    opened.tokenizer_sha256 = sha256;
    opened.tokenizer_kind = !kind.empty() ? kind : tokenizer.empty() ? "bytes" : "sentencepiece";
    return opened;
  };
}

/// What a subcommand prints to stdout.
template <typename Run>
std::string output_of(const Run& run) {
  std::ostringstream text;
  std::streambuf* const before = std::cout.rdbuf(text.rdbuf());
  try {
    const ExitCode code = run();  // outside CHECK, which would keep its exception
    CHECK(code == ExitCode::done);
  } catch (...) {
    std::cout.rdbuf(before);
    throw;
  }
  std::cout.rdbuf(before);
  return text.str();
}

EvalOptions eval_of(const std::string& data, std::vector<std::string> texts = {}) {
  EvalOptions options;
  options.model = "runs/fake";
  options.data = data;
  options.texts = std::move(texts);
  options.json = true;
  return options;
}

void prepare_bytes(const Path& out) {
  data::PrepareRequest request;
  request.texts = {"data/samples/harbour.txt"};
  request.out = out.string();
  request.tokenizer = "bytes";
  data::prepare(request);
}

TEST_CASE("eval: one JSON object agrees with the log-probabilities that it wrote") {
  const test::TempDir dir;
  prepare_bytes(dir / "d");
  EvalOptions options = eval_of((dir / "d").string());
  options.logprobs = (dir / "lines").string();
  const Json report = Json::parse(output_of([&] { return run_eval(options, fake_opener()); }), "stdout");

  double nll = 0;
  std::int64_t tokens = 0, pieces = 0;
  std::string scored;
  std::istringstream lines(read_file(dir / "lines"));
  const auto tokenizer = data::byte_tokenizer();
  for (std::string line; std::getline(lines, line); ++pieces) {
    const Json piece = Json::parse(line, "line");
    const Json::Array& ids = piece.at("ids").as_array();
    const Json::Array& logprobs = piece.at("logprobs").as_array();
    REQUIRE(ids.size() == logprobs.size() + 1);
    CHECK(static_cast<std::int64_t>(ids.size()) <= kContext);
    CHECK(ids[0].as_int() == 1);
    for (std::size_t i = 0; i < logprobs.size(); ++i) {
      nll -= logprobs[i].as_double();
      scored += tokenizer->bytes_of(static_cast<std::int32_t>(ids[i + 1].as_int()));
    }
    tokens += static_cast<std::int64_t>(logprobs.size());
  }
  CHECK(read_file("data/samples/harbour.txt").ends_with(scored));
  CHECK(report.at("mode").as_string() == "fake");
  CHECK(report.at("model").as_string() == "runs/fake");
  CHECK(report.at("step").as_int() == 7);
  CHECK(report.at("pieces").as_int() == pieces);
  CHECK(report.at("tokens").as_int() == tokens);
  CHECK(report.at("bytes").as_int() == static_cast<std::int64_t>(scored.size()));
  const double per_token = nll / static_cast<double>(tokens);
  CHECK(report.at("nll_per_token").as_double() == per_token);
  CHECK(report.at("perplexity").as_double() == std::exp(per_token));
  CHECK(report.at("bits_per_byte").as_double() == nll / (std::log(2.0) * static_cast<double>(scored.size())));
  CHECK(report.at("sparsity").is_null());  // the fake model measures none
  CHECK(report.find("active_parameters") != nullptr);
  CHECK(report.find("seconds") != nullptr);
}

TEST_CASE("eval: shards that name no tokenizer have no bits per byte") {
  const test::TempDir dir;
  test::put_shard(dir / "x_val_000000.bin", {1, 10, 11, 12});
  EvalOptions options = eval_of(dir.path().string());
  const auto text = [&] { return output_of([&] { return run_eval(options, fake_opener("", "unknown")); }); };
  const Json report = Json::parse(text(), "stdout");
  CHECK(report.at("tokens").as_int() == 3);
  CHECK(report.at("bytes").is_null());
  CHECK(report.at("bits_per_byte").is_null());
  options.json = false;
  CHECK(text().find("bits per byte   unknown") != std::string::npos);
}

TEST_CASE("eval: pieces have the model's training length, and shards the name of the checkpoint's stage") {
  const test::TempDir dir;
  test::put_shard(dir / "x_val_000000.bin", {1, 10, 11, 12});
  test::put_shard(dir / "x_later_000000.bin", std::vector<std::uint32_t>(2 * kContext, 20));
  const auto report_at = [&](std::int64_t step) {
    const ServingOpener open = [&](const std::string& path, const Serving& serving) {
      train::OpenedModel opened = fake_opener()(path, serving);
      opened.step = step;
      opened.config.run.max_steps = 10;
      opened.config.data.sequence_length = 2;  // of no stage
      opened.config.stages = {config::Stage{}, config::Stage{}};
      opened.config.stages[0].until = 0.5;
      opened.config.stages[1].data.val_glob = "*_later_*.bin";
      return opened;
    };
    const EvalOptions options = eval_of(dir.path().string());
    return Json::parse(output_of([&] { return run_eval(options, open); }), "stdout");
  };
  CHECK(report_at(5).at("tokens").as_int() == 3);
  CHECK(report_at(6).at("tokens").as_int() == 2 * kContext);
  CHECK(report_at(6).at("pieces").as_int() == 3);  // 31 + 31 + 2
}

TEST_CASE("eval: texts are documents, pieces can be limited, and the table names what it shows") {
  const test::TempDir dir;
  test::put(dir / "a.txt", std::string(100, 'a'));
  test::put(dir / "b.txt", "b");
  EvalOptions options = eval_of("", {(dir / "a.txt").string(), (dir / "b.txt").string()});
  const auto report = [&] {
    return Json::parse(output_of([&] { return run_eval(options, fake_opener()); }), "stdout");
  };
  CHECK(report().at("tokens").as_int() == 101);
  CHECK(report().at("bytes").as_int() == 101);
  CHECK(report().at("pieces").as_int() == 5);  // 31 + 31 + 31 + 7, and 1
  options.pieces = 2;
  CHECK(report().at("pieces").as_int() == 2);
  CHECK(report().at("tokens").as_int() == 62);
  options.json = false;
  const std::string table = output_of([&] { return run_eval(options, fake_opener()); });
  for (const char* part : {"step-00000007", "fake", "perplexity", "bits per byte"})
    CHECK(table.find(part) != std::string::npos);
}

TEST_CASE("eval: another tokenizer, another vocabulary and bad text are refused by name") {
  const test::TempDir dir;
  const std::string text = read_file("data/samples/harbour.txt");
  test::put(dir / "400.model", data::train_sentencepiece({text}, 400).model);
  test::put(dir / "399.model", data::train_sentencepiece({text}, 399).model);
  test::put(dir / "more.txt", text + text + "and other words, other words, other words");
  const std::string more = read_file(dir / "more.txt");
  test::put(dir / "other.model", data::train_sentencepiece({more}, 400).model);
  const auto prepared_with = [&](const std::string& tokenizer) {
    data::PrepareRequest request;
    request.texts = {"data/samples/harbour.txt"};
    request.out = (dir / ("with-" + tokenizer)).string();
    request.tokenizer = (dir / (tokenizer + ".model")).string();
    data::prepare(request);
    return request.out;
  };
  const ServingOpener open = fake_opener((dir / "400.model").string());
  const auto eval_on = [&](const std::string& folder) {
    return output_of([&] { return run_eval(eval_of(folder), open); });
  };
  CHECK(Json::parse(eval_on(prepared_with("400")), "stdout").at("tokens").as_int() > 0);
  CHECK_ERROR(eval_on(prepared_with("399")), ErrorKind::bad_input, "with-399", "399", "runs/fake", "400");
  CHECK_ERROR(eval_on(prepared_with("other")), ErrorKind::bad_input, "with-other", "runs/fake",
              data::load_sentencepiece(dir / "other.model")->sha256(),
              data::load_sentencepiece(dir / "400.model")->sha256());
  test::put(dir / "binary", std::string("a\0b", 3));
  test::put(dir / "empty", "");
  const auto eval_text = [&](const char* name) {
    return output_of([&] { return run_eval(eval_of("", {(dir / name).string()}), fake_opener()); });
  };
  CHECK_ERROR(eval_text("binary"), ErrorKind::bad_input, "binary", "byte 1");
  CHECK_ERROR(eval_text("empty"), ErrorKind::bad_input, "empty", "no text");
  CHECK_ERROR(eval_text("absent"), ErrorKind::bad_input, "absent");
}

TEST_CASE("eval, generate: text needs the model's tokenizer, never a guessed one") {
  const test::TempDir dir;
  prepare_bytes(dir / "d");
  test::put(dir / "a.txt", "text");
  for (const char* kind : {"unknown", "sentencepiece"}) {
    const ServingOpener open = fake_opener("", kind);
    GenerateOptions generate;
    generate.model = "runs/fake";
    generate.prompts = {"ab"};
    CHECK_ERROR(output_of([&] { return run_generate(generate, open); }), ErrorKind::bad_input,
                "step-00000007", "holds no tokenizer.model", "a48 prepare", "a48 eval --data");
    CHECK_ERROR(output_of([&] { return run_eval(eval_of("", {(dir / "a.txt").string()}), open); }),
                ErrorKind::bad_input, "holds no tokenizer.model");
    // Shards hold ids already; their own tokenizer gives the bytes.
    const auto on_shards = [&] { return run_eval(eval_of((dir / "d").string()), open); };
    CHECK(Json::parse(output_of(on_shards), "stdout").at("bytes").as_int() > 0);
  }
  // A checkpoint that records the hash alone tells other shards apart, too.
  const ServingOpener other = fake_opener("", "unknown", std::string(64, 'a'));
  CHECK_ERROR(output_of([&] { return run_eval(eval_of((dir / "d").string()), other); }), ErrorKind::bad_input,
              "was trained with aaaa", "the model's own tokenizer");
}

TEST_CASE("generate: nothing is printed before everything is checked") {
  GenerateOptions options;
  options.model = "runs/fake";
  options.prompts = {std::string(2 * kContext, 'a')};
  std::ostringstream text;
  std::streambuf* const before = std::cout.rdbuf(text.rdbuf());
  const std::string problem = test::unlike_error([&] { run_generate(options, fake_opener()); },
                                                 ErrorKind::bad_input, {"prompt 1", "the model's context"});
  std::cout.rdbuf(before);
  CHECK(problem == "");
  CHECK(text.str() == "");
}

TEST_CASE("inspect: --verify fails with one exit code, whatever differs") {
  const test::TempDir dir;
  const StepReader no_steps = [](const std::string&, std::int64_t) { return Json(); };
  InspectOptions options;
  options.path = (dir / "d").string();
  const auto inspect = [&] { return output_of([&] { return run_inspect(options, no_steps); }); };
  CHECK_ERROR(inspect(), ErrorKind::bad_input, "does not exist");
  options.verify = true;
  CHECK_ERROR(inspect(), ErrorKind::bad_input, "does not exist");
  prepare_bytes(dir / "d");
  const Path shard = dir / "d" / "d_train_000000.bin", sidecar = dir / "d" / "d.json";
  CHECK(inspect().find("max_id") != std::string::npos);
  const std::string whole = read_file(shard), claims = read_file(sidecar);
  std::string altered = whole;
  altered.back() = static_cast<char>(altered.back() ^ 1);  // another id, or one that is none
  test::put(shard, altered);
  CHECK_ERROR(inspect(), ErrorKind::check_failed, "d_train_000000.bin", "altered");
  options.verify = false;
  CHECK_ERROR(inspect(), ErrorKind::bad_input, "altered");
  options.verify = true;
  test::put(shard, whole);
  const std::string claim = "\"max_id\": ";
  test::put(sidecar, std::string(claims).replace(claims.find(claim), claim.size() + 3, claim + "258"));
  CHECK_ERROR(inspect(), ErrorKind::check_failed, "d_train_000000.bin", "the largest id is", "says 258");
  std::filesystem::remove(sidecar);
  test::put(shard, altered);
  CHECK_ERROR(inspect(), ErrorKind::check_failed, "the tokenizer has 259 ids");
  options.path = sidecar.string();
  CHECK_ERROR(inspect(), ErrorKind::bad_input, "does not exist");
}

TEST_CASE("eval: --logprobs appears whole or not at all") {
  const test::TempDir dir;
  prepare_bytes(dir / "d");
  EvalOptions options = eval_of((dir / "d").string());
  options.logprobs = (dir / "lines").string();
  const ServingOpener too_long = [&](const std::string& path, const Serving& serving) {
    train::OpenedModel opened = fake_opener()(path, serving);
    opened.model = std::make_unique<test::FakeModel>(kVocab, kContext, [](const auto& history, std::int32_t) {
      A48_CHECK(history.size() < 20, ErrorKind::not_finite, "broken in the middle");
      return 0.0f;
    });
    return opened;
  };
  CHECK_ERROR(run_eval(options, too_long), ErrorKind::not_finite, "broken");
  CHECK(!std::filesystem::exists(dir / "lines"));
}

TEST_CASE("generate: one prompt streams behind itself, several are one batch, JSON holds all") {
  GenerateOptions options;
  options.model = "runs/fake";
  options.prompts = {"ab"};
  options.max_tokens = 8;
  const auto text = [&] { return output_of([&] { return run_generate(options, fake_opener()); }); };
  const std::string one = text();
  CHECK(one.starts_with("ab"));
  CHECK(one == text());
  options.json = true;
  const Json report = Json::parse(text(), "stdout");
  const Json& result = report.at("results").as_array()[0];
  CHECK("ab" + result.at("text").as_string() + "\n" == one);
  CHECK(result.at("finish").as_string() == "length");
  CHECK(result.at("ids").size() == 8);
  CHECK(result.at("prompt_tokens").as_int() == 3);
  CHECK(report.at("tokens").as_int() == 8);
  options.json = false;
  options.prompts = {"ab", "c"};
  const std::string both = text();
  CHECK(both.starts_with("[1] ab"));
  CHECK(both.find("\n[2] c") != std::string::npos);
  options.seed = 2;
  CHECK(text() != both);
}

TEST_CASE("prepare: the summary counts documents, tokens and bytes per token; --json is the sidecar") {
  const test::TempDir dir;
  PrepareOptions options;
  options.request.texts = {"data/samples/harbour.txt"};
  options.request.out = (dir / "o").string();
  options.request.split = "***";
  options.request.tokenizer = "bytes";
  const std::string summary = output_of([&] { return run_prepare(options); });
  for (const char* part : {"259 tokens (bytes)", "documents   5", "rule \"tail\"", "bytes\n"})
    CHECK(summary.find(part) != std::string::npos);
  options.json = true;
  CHECK(Json::parse(output_of([&] { return run_prepare(options); }), "stdout") ==
        Json::parse(read_file(dir / "o" / "o.json"), "sidecar"));
}

}  // namespace
}  // namespace a48::tools
