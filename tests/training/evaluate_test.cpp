#include "training/evaluate.h"

#include "core/runtime/score.h"
#include "modules/row_model.h"
#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/stages.h"

namespace a48::test {
namespace {

using namespace a48::train;
namespace fs = std::filesystem;

config::RunConfig config_of(const TinyRun& tiny, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"data.kind=shards", "data.path=" + (tiny.folder() / "data").string()});
  return tiny_run_config(more);
}

TEST_CASE(
    "V1: the validation loss depends neither on how many pieces are scored at a time nor on "
    "run.micro_batch_size") {
  TinyRun tiny;
  tiny.with_text(4000);
  const config::RunConfig config = config_of(tiny);
  nn::BitNetForCausalLM model(config.model);
  model->initialise(1);
  const data::ShardSet shards = data::open_shards(config.data.path, config.data.val_glob, 259, 1);
  const data::EvaluationPieces pieces = data::evaluation_pieces(shards, 16, 259, 0);
  REQUIRE(pieces.size() > 20);
  for (const quant::Mode mode : {quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4}) {
    std::vector<std::vector<double>> all;
    for (const std::int64_t tokens : {1, 15, 40, 1024, 100000}) {  // one piece at a time … all at once
      nn::RowModel rows(model, quant::row_of(mode).slots, "test");
      std::vector<double> logprobs;
      runtime::score_pieces(
          rows, pieces.ids,
          [&](std::size_t, std::span<const double> part) {
            logprobs.insert(logprobs.end(), part.begin(), part.end());
          },
          tokens);
      all.push_back(logprobs);
    }
    for (const auto& logprobs : all) CHECK(logprobs == all.front());  // bit for bit
  }
  const auto loss = [&](const char* micro) {
    const config::RunConfig other = config_of(tiny, {std::string("run.micro_batch_size=") + micro});
    return Evaluator(other, shards).validate(model, 1, quant::Mode::a4_8)->loss;
  };
  CHECK(loss("1") == loss("8"));
}

TEST_CASE("validation and training shards of two tokenizers are refused") {
  TinyRun tiny;
  tiny.with_text(4000);
  const Path other = tiny.folder() / "other";
  write_file(tiny.folder() / "other.txt", tiny_text(60000));
  data::PrepareRequest request;
  request.texts = {(tiny.folder() / "other.txt").string()};
  request.out = other.string();
  request.vocab_size = 290;
  request.val_fraction = 0.2;
  data::prepare(request);
  // The byte tokens of one set and the pieces of the other in one folder.
  for (const auto& file : fs::directory_iterator(other))
    if (contains(file.path().filename().string(), "_val_"))
      fs::copy(file.path(), tiny.folder() / "data" / "other_val_000000.bin");
  const Error error = error_of([&] {
    tiny.train({"model.vocab_size=512", "data.val_glob=other_val_*.bin"});
  });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.what(), "tokenizer"));
  CHECK_FALSE(fs::exists(tiny.run()));
  // Likewise between the stages of a run.
  const Error stages = error_of([&] {
    tiny.train({"model.vocab_size=512", "stages.1.data.path=" + other.string()});
  });
  CHECK(stages.kind() == ErrorKind::bad_input);
  CHECK(contains(stages.what(), "tokenizer"));
}

TEST_CASE("the sparsity of every validation is logged") {
  TinyRun tiny;
  tiny.with_text(2000);
  REQUIRE(tiny.train() == ExitCode::done);
  const auto events = tiny.events("eval");
  REQUIRE(events.size() == 3);  // a4.8, then a8 and a16
  CHECK(events[0].at("sparsity").at("out").as_double() >= 50.0);
  CHECK(events[0].at("sparsity").at("overall").as_double() > 0.0);
  CHECK(events[2].at("sparsity").is_null());
}

}  // namespace
}  // namespace a48::test
