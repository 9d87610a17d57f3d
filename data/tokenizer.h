// SentencePiece and byte tokenizers behind runtime::Tokenizer, and the training of the former (formats.md 5).
// tokenizer.cpp is the only file that includes sentencepiece.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"
#include "core/runtime/tokenizer.h"

namespace a48::data {

inline constexpr const char* kTokenizerFile = "tokenizer.model";  // beside shards, in checkpoints

/// Error(bad_input) names the file when it is no SentencePiece model.
std::unique_ptr<runtime::Tokenizer> load_sentencepiece(const Path& model_file);
/// The same from the model's bytes; `source` names them in errors.
std::unique_ptr<runtime::Tokenizer> sentencepiece_of(const std::string& model, const std::string& source);
/// Ids 0 <unk>, 1 <s>, 2 </s>, 3…258 the bytes.
std::unique_ptr<runtime::Tokenizer> byte_tokenizer();
/// `tokenizer.model` in a folder of shards, a checkpoint or a run, or a model file itself; a folder whose
/// sidecar or configuration says "bytes" gives the byte tokenizer.
std::unique_ptr<runtime::Tokenizer> find_tokenizer(const Path& path);

struct TrainedTokenizer {
  std::string model;               // bytes of tokenizer.model
  std::int64_t lines = 0;          // of the documents
  std::int64_t skipped_lines = 0;  // longer than 65536 bytes, or holding U+2585, which the library reserves
};
/// A BPE model; the same documents give the same bytes on every machine. A vocabulary below 259 + alphabet,
/// or above what the text can fill, is Error(config) that says the bound.
TrainedTokenizer train_sentencepiece(const std::vector<std::string_view>& documents, std::int64_t vocab_size);
/// The same from texts that come one after another, each valid until the next is asked for.
using NextText = std::function<std::optional<std::string_view>()>;
TrainedTokenizer train_sentencepiece_from(const NextText& next_document, std::int64_t vocab_size);

}  // namespace a48::data
