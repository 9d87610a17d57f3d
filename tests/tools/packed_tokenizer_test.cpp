// A packed file's tokenizer loads and has no more pieces than the model has ids (formats.md 9, rule 5), or
// the file is refused where text goes in or out, and by full verification.
#include <iostream>
#include <sstream>

#include "core/runtime/pack_model.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/packed_files.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"
#include "tools/commands.h"
#include "tools/model_tokenizer.h"

namespace a48::tools {
namespace {

const ServingOpener kOpen = [](const std::string& path, const Serving& serving) {
  return open_packed(path, serving);
};

void put_model(const Path& path, std::int64_t vocab_size, const std::string& kind, const std::string& model) {
  runtime::PackRequest request = test::small_request();
  request.model.vocab_size = vocab_size;
  request.tokenizer_kind = kind;
  request.tokenizer_model = model;
  runtime::write_packed_model(path, request, test::random_weights(request.model));
}

/// Runs with stdout kept away.
template <typename Run>
ExitCode quietly(const Run& run) {
  std::ostringstream text;
  std::streambuf* const before = std::cout.rdbuf(text.rdbuf());
  try {
    const ExitCode code = run();
    std::cout.rdbuf(before);
    return code;
  } catch (...) {
    std::cout.rdbuf(before);
    throw;
  }
}

ExitCode inspect(const Path& file, bool verify) {
  InspectOptions options;
  options.path = file.string();
  options.verify = verify;
  return quietly([&] { return run_inspect(options, {}); });
}

ExitCode generate(const Path& file) {
  GenerateOptions options;
  options.model = file.string();
  options.prompts = {"a"};
  options.max_tokens = 1;
  return quietly([&] { return run_generate(options, kOpen); });
}

ExitCode eval(const Path& file, const Path& text) {
  EvalOptions options;
  options.model = file.string();
  options.texts = {text.string()};
  return quietly([&] { return run_eval(options, kOpen); });
}

TEST_CASE(
    "formats 9 rule 5: a packed file whose tokenizer does not load, or has more pieces than ids, is "
    "refused") {
  const test::TempDir dir;
  test::put(dir / "text.txt", "harbour");
  const Path file = dir / "m.a48";
  const std::string model = data::train_sentencepiece({read_file("data/samples/harbour.txt")}, 399).model;

  for (const std::int64_t vocab_size : {399, 400}) {
    put_model(file, vocab_size, "sentencepiece", model);
    CHECK(inspect(file, true) == ExitCode::done);
    CHECK(generate(file) == ExitCode::done);
    CHECK(eval(file, dir / "text.txt") == ExitCode::done);
  }
  const auto refused = [&](const char* what, const char* more = "m.a48") {
    CHECK(inspect(file, false) == ExitCode::done);
    CHECK_ERROR(inspect(file, true), ErrorKind::check_failed, "m.a48", what, more);
    CHECK_ERROR(generate(file), ErrorKind::bad_input, "m.a48", what, more);
    CHECK_ERROR(eval(file, dir / "text.txt"), ErrorKind::bad_input, "m.a48", what, more);
    CHECK_ERROR(check_tokenizer(runtime::PackedModel::open(file)), ErrorKind::bad_input, what, more);
  };
  put_model(file, 398, "sentencepiece", model);
  refused("399 pieces", "vocabulary of 398");
  put_model(file, 258, "bytes", "");
  refused("259 pieces", "vocabulary of 258");
  put_model(file, 400, "sentencepiece", "no model of a tokenizer");
  refused("not a SentencePiece model");

  put_model(file, 37, "none", "");
  CHECK(inspect(file, true) == ExitCode::done);
}

}  // namespace
}  // namespace a48::tools
