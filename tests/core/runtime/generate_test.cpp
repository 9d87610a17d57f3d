#include "core/runtime/generate.h"

#include <map>

#include "core/base/utf8.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/fake_model.h"

namespace a48::runtime {
namespace {

/// Ids 0 <unk>, 1 <s>, 2 </s>, then the pieces; encodes letter by letter with pieces of one byte.
class PieceTokenizer : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(pieces_.size()) + 3; }
  std::int32_t bos_id() const override { return 1; }
  std::int32_t eos_id() const override { return 2; }
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    for (const char c : text)
      for (std::int32_t id = 3; id < vocab_size(); ++id)
        if (bytes_of(id) == std::string_view(&c, 1)) ids.push_back(id);
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) text += bytes_of(id);
    return text.starts_with(' ') ? text.substr(1) : text;
  }
  std::string_view bytes_of(std::int32_t id) const override {
    return id >= 3 && id < vocab_size() ? std::string_view(pieces_[static_cast<std::size_t>(id - 3)])
                                        : std::string_view();
  }
  std::string kind() const override { return "pieces"; }
  std::string sha256() const override { return ""; }

 private:
  std::vector<std::string> pieces_;
};

PieceTokenizer letters() { return PieceTokenizer({"a", "b", "c", "d", "e", "f", "g", " h"}); }

/// A model that says the script after the prompt of `prompt` tokens (BOS included), whatever it is fed.
test::FakeModel::Logit script(std::size_t prompt, std::vector<std::int32_t> ids) {
  return [prompt, ids](const std::vector<std::int32_t>& history, std::int32_t id) {
    const std::size_t at = history.size() - prompt;
    return at < ids.size() && ids[at] == id ? 10.0f : 0.0f;
  };
}

GenerateOptions greedy(std::int64_t max_tokens = 100) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampler.temperature = 0;
  return options;
}

std::vector<Generated> run(LanguageModel& model, const Tokenizer& tokenizer,
                           const std::vector<std::string>& prompts, const GenerateOptions& options) {
  return generate(model, tokenizer, prompts, options);
}

TEST_CASE("check 39: generation repeats for a seed and differs between seeds and prompts") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(tokenizer.vocab_size(), 256);
  GenerateOptions options;
  options.max_tokens = 60;
  options.seed = 7;
  const std::vector<std::string> prompts{"abc", "abc", "fade"};
  const auto first = run(model, tokenizer, prompts, options), again = run(model, tokenizer, prompts, options);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(first[i].ids == again[i].ids);
    CHECK(first[i].text == again[i].text);
  }
  CHECK(first[0].ids != first[1].ids);
  options.seed = 8;
  CHECK(run(model, tokenizer, prompts, options)[0].ids != first[0].ids);
}

TEST_CASE("check 39: a batch of prompts of different lengths equals the prompts run alone") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(tokenizer.vocab_size(), 64);
  const std::vector<std::string> prompts{"", "a", "abcdefg", "gfedcbagfedcba"};
  for (const double temperature : {0.0, 0.7}) {
    GenerateOptions options;
    options.max_tokens = 50;
    options.sampler.temperature = temperature;
    const auto batch = run(model, tokenizer, prompts, options);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      options.first_prompt = i;
      const auto alone = run(model, tokenizer, {prompts[i]}, options);
      CHECK(batch[i].ids == alone[0].ids);
      CHECK(batch[i].text == alone[0].text);
      CHECK(batch[i].finish == alone[0].finish);
    }
  }
}

TEST_CASE("check 39: temperature 0 follows the highest logit of the history that stands so far") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(tokenizer.vocab_size(), 64);
  const Generated result = run(model, tokenizer, {"ab"}, greedy(20))[0];
  std::vector<std::int32_t> history{1, 3, 4};
  for (const std::int32_t id : result.ids) {
    for (std::int32_t other = 0; other < tokenizer.vocab_size(); ++other)
      CHECK(test::FakeModel::noise(history, id) >= test::FakeModel::noise(history, other));
    history.push_back(id);
  }
}

TEST_CASE("generate: stops at EOS, at the number of tokens and at the end of the context") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel ending(11, 64, script(2, {4, 5, 2, 6}));
  const Generated eos = run(ending, tokenizer, {"a"}, greedy())[0];
  CHECK(eos.finish == Finish::end_of_text);
  CHECK(eos.ids == std::vector<std::int32_t>{4, 5, 2});
  CHECK(eos.text == "bc");
  CHECK(eos.prompt_tokens == 2);

  test::FakeModel endless(11, 6, [](const auto&, std::int32_t id) { return id == 4 ? 1.0f : 0.0f; });
  const Generated some = run(endless, tokenizer, {"a"}, greedy(3))[0];
  CHECK(some.finish == Finish::max_tokens);
  CHECK(some.text == "bbb");
  // A context of 6 holds BOS, a and 4 more; the logits of the last one give a fifth.
  const Generated full = run(endless, tokenizer, {"a"}, greedy())[0];
  CHECK(full.finish == Finish::context_full);
  CHECK(full.text == "bbbbb");
  CHECK(run(endless, tokenizer, {"aaaaa"}, greedy())[0].text == "b");
  CHECK_ERROR(run(endless, tokenizer, {"a", "aaaaaa"}, greedy()), ErrorKind::bad_input, "prompt 2",
              "7 tokens", "has 6. Shorten it");
}

TEST_CASE("generate: finished prompts are fed no more, and the others go on") {
  const PieceTokenizer tokenizer = letters();
  // Ends at once after "a", never after "b".
  test::FakeModel model(11, 64, [](const std::vector<std::int32_t>& history, std::int32_t id) {
    return id == (history[1] == 3 ? 2 : 5) ? 1.0f : 0.0f;
  });
  const auto results = run(model, tokenizer, {"a", "b"}, greedy(4));
  CHECK(results[0].finish == Finish::end_of_text);
  CHECK(results[1].text == "cccc");
  CHECK(model.calls == std::vector<std::size_t>{4, 1, 1, 1});
}

TEST_CASE("generate: the first word loses its dummy prefix only when there is no prompt") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel empty(11, 64, script(1, {10, 10, 2}));
  CHECK(run(empty, tokenizer, {""}, greedy())[0].text == "h h");
  test::FakeModel prompted(11, 64, script(2, {10, 10, 2}));
  CHECK(run(prompted, tokenizer, {"a"}, greedy())[0].text == " h h");
}

TEST_CASE("generate: text streams as whole characters, and broken ones become U+FFFD") {
  // é in two halves, an emoji in four quarters, a lone continuation byte, and a start that never ends.
  const PieceTokenizer tokenizer({"a", "\xC3", "\xA9", "\xF0", "\x9F", "\x98", "\x80", "\xBF", "z"});
  test::FakeModel model(12, 64, script(2, {4, 5, 6, 7, 8, 9, 11, 10, 11, 4, 11, 6, 7, 2}));
  std::vector<std::string> pieces;
  const std::vector<std::string> prompts{"a"};
  const auto result =
      generate(model, tokenizer, prompts, greedy(), [&](std::size_t prompt, std::string_view text) {
        CHECK(prompt == 0);
        CHECK(utf8_error(text) == std::string_view::npos);
        pieces.emplace_back(text);
      });
  CHECK(result[0].text == "é😀z\uFFFDz\uFFFDz\uFFFD\uFFFD");
  CHECK(pieces.front() == "é");
  CHECK(pieces[1] == "😀");
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  CHECK(joined == result[0].text);
}

TEST_CASE("generate: a stop string ends the text before itself and never shows in part") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(11, 64, script(2, {4, 5, 6, 4, 5, 7, 8, 2}));  // bcd bce f
  GenerateOptions options = greedy();
  const auto text_with = [&](std::vector<std::string> stop) {
    options.stop = std::move(stop);
    std::string streamed;
    const std::vector<std::string> prompts{"a"};
    const auto result = generate(model, tokenizer, prompts, options,
                                 [&](std::size_t, std::string_view text) { streamed += text; });
    CHECK(streamed == result[0].text);
    CHECK((result[0].finish == Finish::stop_string) == (result[0].text != "bcdbcef"));
    return result[0].text;
  };
  CHECK(text_with({}) == "bcdbcef");
  CHECK(text_with({"bce"}) == "bcd");
  CHECK(text_with({"x", "cd"}) == "b");
  CHECK(text_with({"ef", "bc"}) == "");
  CHECK(text_with({"bcx"}) == "bcdbcef");
  CHECK(text_with({"fg"}) == "bcdbcef");  // the held-back beginning comes out at the end
  CHECK_ERROR(text_with({""}), ErrorKind::config, "stop string");
}

TEST_CASE("generate: a request to stop leaves what was generated") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(11, 64, [](const auto&, std::int32_t id) { return id == 4 ? 1.0f : 0.0f; });
  int polled = 0;
  const std::vector<std::string> prompts{"a"};
  const auto result = generate(model, tokenizer, prompts, greedy(), {}, [&] { return ++polled <= 2; });
  CHECK(result[0].finish == Finish::interrupted);
  CHECK(result[0].text == "bbb");
}

TEST_CASE("generate: ids that the tokenizer does not have are never drawn; bad options are refused") {
  const PieceTokenizer tokenizer = letters();
  test::FakeModel model(20, 64, [](const auto&, std::int32_t id) { return static_cast<float>(id); });
  CHECK(run(model, tokenizer, {"a"}, greedy(1))[0].ids == std::vector<std::int32_t>{10});
  CHECK_ERROR(run(model, tokenizer, {"a"}, greedy(0)), ErrorKind::config, "new tokens");
  GenerateOptions options = greedy();
  options.sampler.top_p = 2;
  CHECK_ERROR(run(model, tokenizer, {"a"}, options), ErrorKind::config, "top-p");
  CHECK(run(model, tokenizer, {}, greedy()).empty());
}

}  // namespace
}  // namespace a48::runtime
