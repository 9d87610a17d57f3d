// Tokenizer: text <-> ids; injected, so that floors below data need not know SentencePiece. Implementations:
// data/tokenizer.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace a48::runtime {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::int64_t vocab_size() const = 0;
  virtual std::int32_t bos_id() const = 0;
  virtual std::int32_t eos_id() const = 0;
  /// Without BOS or EOS. decode(encode(x)) == x for every UTF-8 text; bytes that are no UTF-8 survive too in
  /// the byte tokenizer.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// The text of a whole document: bytes_of of each id, less the space that the tokenizer put before the
  /// first word.
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  /// The bytes that the id adds to the text of what stands before it: a piece with its leading space (▁), one
  /// byte of a byte token, nothing for control tokens and for ids outside the vocabulary. Valid as long as
  /// the tokenizer.
  virtual std::string_view bytes_of(std::int32_t id) const = 0;
  /// Bytes of text that the token stands for (▁ and each byte token count 1; control tokens 0).
  std::int64_t byte_length(std::int32_t id) const { return static_cast<std::int64_t>(bytes_of(id).size()); }
  /// "sentencepiece" or "bytes".
  virtual std::string kind() const = 0;
  /// Hex SHA-256 of tokenizer.model; of the fixed text "bytes" for the byte tokenizer.
  virtual std::string sha256() const = 0;
};

}  // namespace a48::runtime
