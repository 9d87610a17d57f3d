#include "data/tokenizer.h"

#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"
#include "data/loader.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/seed.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"

namespace a48::data {
namespace {

const std::string& sample_text() {
  static const std::string text = read_file("data/samples/harbour.txt");
  return text;
}

const std::string& sample_model() {
  static const std::string model = train_sentencepiece({sample_text()}, 400).model;
  return model;
}

std::unique_ptr<runtime::Tokenizer> sample_tokenizer() { return sentencepiece_of(sample_model(), "sample"); }

/// Texts with everything that tokenizers stumble over.
std::vector<std::string> awkward_texts() {
  return {"",
          "The harbour at Sill",
          " leading and trailing ",
          "   ",
          "\n",
          "\n\n\n",
          "\tTabs\tand\r\nline ends\n",
          "<s> </s> <unk> <0x0A> <0xFF>",
          "emoji 😀👩‍👩‍👧 and é e\u0301 ñ 中文字 \u00A0\u3000\u200B\uFEFF",
          "\u2581 literal \u2581\u2581 symbols\u2581",
          "\u2581",
          "\u2581\n",
          "\n\u2581x",
          "\u2585 reserved \u2585 \u2047",
          "0123456789 3.14159",
          std::string(1000, ' '),
          std::string(1000, 'e')};
}

TEST_CASE("tokenizer: the same documents give the same model, again and again") {
  const std::vector<std::string_view> documents{sample_text()};
  const std::string first = train_sentencepiece(documents, 400).model;
  set_thread_count(1);
  const std::string second = train_sentencepiece(documents, 400).model;
  set_thread_count(0);
  CHECK(first == second);
  CHECK(first == sample_model());
  CHECK(train_sentencepiece(documents, 401).model != first);
}

TEST_CASE("tokenizer: ids stand where formats.md 5 puts them, and lines end in a byte token") {
  const auto tokenizer = sample_tokenizer();
  CHECK(tokenizer->vocab_size() == 400);
  CHECK(tokenizer->bos_id() == 1);
  CHECK(tokenizer->eos_id() == 2);
  CHECK(tokenizer->kind() == "sentencepiece");
  CHECK(tokenizer->sha256() == sha256_hex(sample_model()));
  CHECK(tokenizer->bytes_of(1).empty());
  CHECK(tokenizer->bytes_of(2).empty());
  CHECK(tokenizer->bytes_of(-1).empty());
  CHECK(tokenizer->bytes_of(400).empty());
  for (int byte = 0; byte < 256; ++byte)
    CHECK(tokenizer->bytes_of(3 + byte) == std::string(1, static_cast<char>(byte)));
  for (std::int32_t id = 259; id < 400; ++id) {
    CHECK(!tokenizer->bytes_of(id).empty());
    CHECK(tokenizer->bytes_of(id).find('\n') == std::string::npos);
  }
  const std::vector<std::int32_t> ids = tokenizer->encode("a\nb");
  CHECK(std::count(ids.begin(), ids.end(), 3 + '\n') == 1);
}

TEST_CASE("tokenizer: decode(encode(x)) == x") {
  const auto sentencepiece = sample_tokenizer();
  const auto bytes = byte_tokenizer();
  for (const runtime::Tokenizer* tokenizer : {sentencepiece.get(), bytes.get()}) {
    for (const std::string& text : awkward_texts()) {
      INFO(tokenizer->kind() << ": " << text);
      CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
    }
    CHECK(tokenizer->decode(tokenizer->encode(sample_text())) == sample_text());
    CHECK(tokenizer->decode({}) == "");
  }
  CHECK(sentencepiece->encode(sample_text()).size() < bytes->encode(sample_text()).size() * 2 / 3);
  const std::string no_text("\xFF\x00\xC3", 3);
  CHECK(bytes->decode(bytes->encode(no_text)) == no_text);
}

TEST_CASE("tokenizer: random texts of characters, spaces and line ends come back") {
  const auto tokenizer = sample_tokenizer();
  const std::vector<std::string> alphabet{" ", "\n", "a", "e", "th",  "\t", "\u2581",
                                          "é", "😀",  "7", "<", "The", "\r"};
  for (std::uint64_t round = 0; round < 300; ++round) {
    std::string text;
    const std::uint64_t length = random_bits(test::seed(), round, 0) % 40;
    for (std::uint64_t i = 1; i <= length; ++i)
      text += alphabet[random_bits(test::seed(), round, i) % alphabet.size()];
    INFO("round " << round);
    CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
  }
}

TEST_CASE("tokenizer: a long document gives the ids of its parts, however it is cut for the threads") {
  const auto tokenizer = sample_tokenizer();
  std::string text;
  while (text.size() < 300'000) text += sample_text();
  const std::vector<std::int32_t> whole = tokenizer->encode(text);
  CHECK(tokenizer->decode(whole) == text);
  // Line by line: a line end in front keeps the space before the first word away.
  std::vector<std::int32_t> by_line;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.size(), text.find('\n', begin + 1));
    std::vector<std::int32_t> ids = tokenizer->encode(text.substr(begin, end - begin));
    if (begin > 0) {
      CHECK(tokenizer->bytes_of(ids.front()) == " ");
      ids.erase(ids.begin());
    }
    by_line.insert(by_line.end(), ids.begin(), ids.end());
    begin = end;
  }
  CHECK(whole == by_line);
}

TEST_CASE("tokenizer: bytes of the ids add up to the text and the dummy prefix") {
  const auto tokenizer = sample_tokenizer();
  for (const std::string& text :
       {sample_text(), std::string("\n"), std::string("7"), std::string("\u2581x")}) {
    const EvaluationPieces pieces = pieces_of_documents({tokenizer->encode(text)}, tokenizer->bos_id(), 20);
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) bytes += scored_bytes(pieces, i, *tokenizer);
    CHECK(bytes == static_cast<std::int64_t>(text.size()));
  }
}

TEST_CASE("tokenizer: a vocabulary that does not fit the text is refused with the bound") {
  const std::vector<std::string_view> documents{sample_text()};
  CHECK_ERROR(train_sentencepiece(documents, 100), ErrorKind::config, "vocabulary of 100", "too small");
  CHECK_ERROR(train_sentencepiece(documents, 270), ErrorKind::config, "vocabulary of 270", "too small",
              "at least");
  CHECK_ERROR(train_sentencepiece(documents, 30000), ErrorKind::config, "vocabulary of 30000", "too large",
              "at most");
  CHECK_ERROR(train_sentencepiece({}, 400), ErrorKind::bad_input, "no line");
}

TEST_CASE("tokenizer: lines that the library skips are counted") {
  const std::string long_line(70'000, 'x');
  const std::string text = sample_text() + "\n" + long_line + "\nreserved \u2585\n";
  const TrainedTokenizer trained = train_sentencepiece({text}, 400);
  CHECK(trained.skipped_lines == 2);
  CHECK(trained.lines == train_sentencepiece({sample_text()}, 400).lines + 2);
  CHECK_ERROR(train_sentencepiece({long_line}, 400), ErrorKind::bad_input, "1 are longer");
}

TEST_CASE("tokenizer: files that are no model, truncated or missing are named") {
  const test::TempDir dir;
  CHECK_ERROR(load_sentencepiece(dir / "absent"), ErrorKind::bad_input, "absent");
  test::put(dir / "text", "not a model");
  CHECK_ERROR(load_sentencepiece(dir / "text"), ErrorKind::bad_input, (dir / "text").string(),
              "not a SentencePiece model");
  test::put(dir / "empty", "");
  CHECK_ERROR(load_sentencepiece(dir / "empty"), ErrorKind::bad_input, "empty");
  for (std::size_t size = 0; size < sample_model().size(); size += 97) {
    try {
      sentencepiece_of(sample_model().substr(0, size), "cut");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::bad_input);
    }
  }
}

TEST_CASE("tokenizer: a folder names its tokenizer by file or by sidecar") {
  const test::TempDir dir;
  CHECK_ERROR(find_tokenizer(dir.path()), ErrorKind::bad_input, "tokenizer.model");
  test::put(dir / "set.json",
            R"({"format": "a48-shards/1", "tokenizer": {"file": null, "kind": "bytes", "sha256": ""}})");
  CHECK(find_tokenizer(dir.path())->kind() == "bytes");
  test::put(dir / "tokenizer.model", sample_model());
  CHECK(find_tokenizer(dir.path())->vocab_size() == 400);
  CHECK(find_tokenizer(dir / "tokenizer.model")->vocab_size() == 400);
  CHECK_ERROR(find_tokenizer(dir / "absent"), ErrorKind::bad_input, "absent");
}

}  // namespace
}  // namespace a48::data
