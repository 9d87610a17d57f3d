// Tokenizer: text <-> ids; injected, so that floors below data need not know SentencePiece. Implementations: data/tokenizer.h.
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
  /// Without BOS or EOS. decode(encode(x)) == x for every UTF-8 text; bytes that are no UTF-8 survive too in the byte tokenizer.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  /// Bytes of text that the token stands for (▁ and each byte token count 1; control tokens 0).
  virtual std::int64_t byte_length(std::int32_t id) const = 0;
  /// "sentencepiece" or "bytes".
  virtual std::string kind() const = 0;
  /// Hex SHA-256 of tokenizer.model; of the fixed text "bytes" for the byte tokenizer.
  virtual std::string sha256() const = 0;
};

}  // namespace a48::runtime
