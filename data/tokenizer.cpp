// The only file that includes sentencepiece. Encoding cuts a text where no piece can reach across, so that
// large documents need little memory and several threads share the work; decoding is a table of bytes per id
// (formats.md 5).
#include "data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <thread>
#include <unordered_map>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/parallel.h"

namespace sentencepiece {
void SetRandomGeneratorSeed(unsigned int seed);  // declared here because not every version's headers do
}

namespace a48::data {
namespace {

constexpr std::string_view kSpaceSymbol = "\u2581";     // ▁ stands for a space inside pieces
constexpr std::string_view kReservedSymbol = "\u2585";  // lines that hold it are skipped by the trainer
constexpr std::string_view kUnknownText = " \u2047 ";   // what decoding shows for <unk>, as the library does
constexpr std::int32_t kFirstByte = 3;                  // id of <0x00> in our own models
constexpr std::size_t kSegmentBytes = 1 << 16;          // texts are cut at line ends once this long
constexpr std::size_t kMaxLineBytes = 65536;            // max_sentence_length
constexpr unsigned kTrainerSeed = 48;
constexpr const char* kSampledLines = "5000000";  // input_sentence_size: drawn at random from longer corpora

// ---- byte tokenizer

class ByteTokenizer : public runtime::Tokenizer {
 public:
  ByteTokenizer() {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
  }
  std::int64_t vocab_size() const override { return kFirstByte + 256; }
  std::int32_t bos_id() const override { return 1; }
  std::int32_t eos_id() const override { return 2; }
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (const char c : text) ids.push_back(kFirstByte + static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) text += bytes_of(id);
    return text;
  }
  std::string_view bytes_of(std::int32_t id) const override {
    if (id < kFirstByte || id >= vocab_size()) return {};
    return std::string_view(bytes_).substr(static_cast<std::size_t>(id - kFirstByte), 1);
  }
  std::string kind() const override { return "bytes"; }
  std::string sha256() const override { return sha256_hex("bytes"); }

 private:
  std::string bytes_ = std::string(256, '\0');
};

// ---- SentencePiece

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

class SentencePieceTokenizer : public runtime::Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& model, const std::string& source) : sha256_(sha256_hex(model)) {
    const auto status = processor_.LoadFromSerializedProto(model);
    A48_CHECK(!model.empty() && status.ok(), ErrorKind::bad_input, source, ": not a SentencePiece model (",
              status.ToString(), ")");
    A48_CHECK(
        processor_.bos_id() >= 0 && processor_.eos_id() >= 0, ErrorKind::bad_input, source,
        ": the model has no <s> or no </s>; train one with both, or let `a48 prepare --vocab-size N` do it");
    fill_bytes();
    find_prefix();
  }

  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::int32_t bos_id() const override { return processor_.bos_id(); }
  std::int32_t eos_id() const override { return processor_.eos_id(); }
  std::string kind() const override { return "sentencepiece"; }
  std::string sha256() const override { return sha256_; }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    const std::vector<std::string_view> segments = cut(text);
    std::vector<std::vector<std::int32_t>> encoded(segments.size());
    parallel_for(static_cast<std::int64_t>(segments.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        encoded[static_cast<std::size_t>(i)] = encode_segment(segments[static_cast<std::size_t>(i)], i == 0);
    });
    std::vector<std::int32_t> ids;
    for (const auto& part : encoded) ids.insert(ids.end(), part.begin(), part.end());
    return ids;
  }

  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) text += bytes_of(id);
    const auto first =
        std::find_if(ids.begin(), ids.end(), [&](std::int32_t id) { return !bytes_of(id).empty(); });
    const bool prefixed =
        dummy_prefix_ && first != ids.end() && !processor_.IsByte(*first) && text.front() == ' ';
    return prefixed ? text.substr(1) : text;
  }

  std::string_view bytes_of(std::int32_t id) const override {
    return id >= 0 && id < vocab_size() ? std::string_view(bytes_[static_cast<std::size_t>(id)])
                                        : std::string_view();
  }

 private:
  void fill_bytes() {
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      const std::string& piece = processor_.IdToPiece(id);
      if (processor_.IsByte(id))
        bytes_.emplace_back(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));  // <0xNN>
      else if (processor_.IsControl(id) || processor_.IsUnused(id))
        bytes_.emplace_back();
      else if (processor_.IsUnknown(id))
        bytes_.emplace_back(kUnknownText);
      else
        bytes_.push_back(replaced(piece, kSpaceSymbol, " "));
      lines_stand_alone_ =
          lines_stand_alone_ && (processor_.IsByte(id) || piece.find('\n') == std::string::npos);
    }
  }

  /// What the library puts before a text, seen in front of a line end: nothing, or the dummy prefix ▁.
  void find_prefix() {
    const std::vector<int> one = processor_.EncodeAsIds("\n"), two = processor_.EncodeAsIds("\n\n");
    const int byte = processor_.PieceToId("<0x0A>");
    lines_stand_alone_ = lines_stand_alone_ && processor_.IsByte(byte) && !one.empty() &&
                         one.back() == byte && two.size() == one.size() + 1;
    if (lines_stand_alone_) prefix_tokens_ = one.size() - 1;
    const std::vector<int> letter = processor_.EncodeAsIds("a");
    dummy_prefix_ = !letter.empty() && bytes_of(letter.front()).starts_with(' ');
  }

  /// Cuts before line ends, and around each literal ▁, which the library would take for a space. The parts
  /// joined are the text.
  std::vector<std::string_view> cut(std::string_view text) const {
    std::vector<std::string_view> segments;
    if (!lines_stand_alone_) return {text};
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::string_view rest = text.substr(begin);
      std::size_t length = rest.size();
      if (rest.starts_with(kSpaceSymbol)) {
        // The first segment carries the dummy prefix; an empty one keeps it away from this symbol.
        if (segments.empty()) segments.push_back(rest.substr(0, 0));
        length = kSpaceSymbol.size();
      } else {
        if (length > kSegmentBytes) length = std::min(length, rest.find('\n', kSegmentBytes));
        length = std::min(length, rest.substr(0, length).find(kSpaceSymbol));
      }
      segments.push_back(rest.substr(0, length));
      begin += length;
    }
    return segments;
  }

  std::vector<std::int32_t> encode_segment(std::string_view segment, bool first) const {
    if (segment == kSpaceSymbol && !first) {
      std::vector<std::int32_t> ids;
      for (const char c : segment) ids.push_back(byte_id(static_cast<unsigned char>(c)));
      return ids;
    }
    if (first) return encode_whole(segment);
    // A line end in front keeps the dummy prefix away from the first word; both are dropped from the result.
    const bool own_line_end = segment.front() == '\n';
    std::vector<std::int32_t> ids =
        own_line_end ? encode_whole(segment) : encode_whole("\n" + std::string(segment));
    const std::size_t dropped = prefix_tokens_ + (own_line_end ? 0 : 1);
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(dropped));
    return ids;
  }

  std::vector<std::int32_t> encode_whole(std::string_view text) const {
    std::vector<int> ids;
    const auto status = processor_.Encode(text, &ids);
    A48_CHECK(status.ok(), ErrorKind::internal, "SentencePiece cannot encode: ", status.ToString());
    return {ids.begin(), ids.end()};
  }

  std::int32_t byte_id(unsigned char byte) const {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    return processor_.PieceToId(concat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">"));
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::string sha256_;
  std::vector<std::string> bytes_;  // per id
  bool lines_stand_alone_ = true;   // "\n" is a byte token and part of no piece
  std::size_t prefix_tokens_ = 0;   // tokens of the dummy prefix before a line end
  bool dummy_prefix_ = true;
};

// ---- training

/// Hands the lines of all documents to the trainer, and counts those that it will skip silently.
class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const NextText& next_document) : next_document_(next_document) { Next(); }
  bool done() const override { return done_; }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }
  void Next() override {
    for (;;) {
      if (rest_.empty()) {
        const std::optional<std::string_view> document = next_document_();
        if (!document) break;
        rest_ = *document;
      }
      const std::string_view line = rest_.substr(0, rest_.find('\n'));
      rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
      if (line.empty()) continue;
      ++lines;
      if (line.size() > kMaxLineBytes || line.find(kReservedSymbol) != std::string_view::npos) {
        ++skipped;
        continue;
      }
      line_ = line;
      return;
    }
    done_ = true;
  }

  std::int64_t lines = 0, skipped = 0;

 private:
  const NextText& next_document_;
  std::string_view rest_;  // of the document at hand
  std::string line_;
  bool done_ = false;
};

/// The number that follows `text` in the library's message; 0 when it is not there.
std::int64_t number_after(const std::string& message, std::string_view text) {
  const std::size_t at = message.find(text);
  std::int64_t number = 0;
  if (at != std::string::npos)
    std::from_chars(message.data() + at + text.size(), message.data() + message.size(), number);
  return number;
}

[[noreturn]] void fail_training(const std::string& message, std::int64_t vocab_size) {
  const std::int64_t least = number_after(message, concat("required_chars. ", vocab_size, " vs "));
  A48_CHECK(least == 0, ErrorKind::config, "a vocabulary of ", vocab_size,
            " is too small: 256 bytes, 3 control tokens and the characters of the text need at least ",
            least);
  const std::int64_t most = number_after(message, "value <= ");
  A48_CHECK(most == 0, ErrorKind::config, "a vocabulary of ", vocab_size,
            " is too large for this text: it yields at most ", most,
            " pieces. Choose that or less, or add text");
  fail(ErrorKind::bad_input, "SentencePiece cannot train on this text: ", message);
}

}  // namespace

std::unique_ptr<runtime::Tokenizer> load_sentencepiece(const Path& model_file) {
  return sentencepiece_of(read_file(model_file), model_file.string());
}

std::unique_ptr<runtime::Tokenizer> sentencepiece_of(const std::string& model, const std::string& source) {
  return std::make_unique<SentencePieceTokenizer>(model, source);
}

std::unique_ptr<runtime::Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

TrainedTokenizer train_sentencepiece(const std::vector<std::string_view>& documents,
                                     std::int64_t vocab_size) {
  std::size_t taken = 0;
  return train_sentencepiece_from(
      [&] { return taken < documents.size() ? std::optional(documents[taken++]) : std::nullopt; },
      vocab_size);
}

TrainedTokenizer train_sentencepiece_from(const NextText& next_document, std::int64_t vocab_size) {
  A48_CHECK(vocab_size > kFirstByte + 256, ErrorKind::config, "a vocabulary of ", vocab_size,
            " is too small: 256 bytes, 3 control tokens and the characters of the text need at least 260");
  // num_threads is stored in the model, hence a constant: the same bytes on every machine. BPE training uses
  // one thread anyway.
  const std::unordered_map<std::string, std::string> flags{
      {"model_type", "bpe"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "true"},
      {"split_digits", "true"},
      {"allow_whitespace_only_pieces", "true"},
      {"character_coverage", "0.99995"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"max_sentence_length", std::to_string(kMaxLineBytes)},
      {"shuffle_input_sentence", "true"},
      {"minloglevel", "2"},
      {"vocab_size", std::to_string(vocab_size)},
      {"input_sentence_size", kSampledLines},
      {"num_threads", "1"}};
  Lines lines(next_document);
  TrainedTokenizer trained;
  sentencepiece::util::Status status;
  std::exception_ptr failed;  // what reading a document threw
  // The library draws lines from a generator of the calling thread that is seeded once in its life: each
  // training needs a fresh one.
  std::thread([&] {
    sentencepiece::SetRandomGeneratorSeed(kTrainerSeed);
    try {
      status = sentencepiece::SentencePieceTrainer::Train(flags, &lines, &trained.model);
    } catch (...) {
      failed = std::current_exception();
    }
  }).join();
  if (failed) std::rethrow_exception(failed);
  trained.lines = lines.lines;
  trained.skipped_lines = lines.skipped;
  A48_CHECK(trained.lines > trained.skipped_lines, ErrorKind::bad_input,
            "no line to train a tokenizer on: ", trained.lines, " lines, of which ", trained.skipped_lines,
            " are longer than ", kMaxLineBytes, " bytes or hold the reserved U+2585");
  if (!status.ok()) fail_training(status.ToString(), vocab_size);
  return trained;
}

std::unique_ptr<runtime::Tokenizer> find_tokenizer(const Path& path) {
  A48_CHECK(std::filesystem::exists(path), ErrorKind::bad_input, path.string(), ": no such file or folder");
  if (!std::filesystem::is_directory(path)) return load_sentencepiece(path);
  const Path model = path / kTokenizerFile;
  if (std::filesystem::exists(model)) return load_sentencepiece(model);
  std::vector<Path> candidates;
  for (const auto& item : std::filesystem::directory_iterator(path))
    if (item.path().extension() == ".json") candidates.push_back(item.path());
  std::sort(candidates.begin(), candidates.end());
  for (const Path& candidate : candidates) {
    const Json document = Json::parse(read_file(candidate), candidate.string());
    const Json* tokenizer = document.find("tokenizer");
    const Json* kind = tokenizer == nullptr ? nullptr : tokenizer->find("kind");
    if (kind != nullptr && kind->is_string() && kind->as_string() == "bytes") return byte_tokenizer();
  }
  fail(ErrorKind::bad_input, path.string(),
       ": holds neither tokenizer.model nor a sidecar that names the byte tokenizer");
}

}  // namespace a48::data
