// prepare: text files -> tokenizer, token shards and sidecar (formats.md 5, 6.1, 6.2). Files appear under
// their names only when whole.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace a48::data {

inline constexpr double kMaxValFraction = 0.5;

struct PrepareRequest {
  std::vector<std::string> texts;  // files; JSONL with `field`
  std::string out;                 // folder
  std::string name;                // shard prefix; empty = the folder's name
  std::int64_t vocab_size = 0;     // trains a BPE tokenizer of this size; 0 with no tokenizer = 4096
  std::string tokenizer;           // a tokenizer.model, or "bytes"; exclusive with vocab_size
  std::string split;               // a line that separates documents; empty = a file is a document
  std::string field;               // JSONL: the member that holds the text
  std::string delimiter = "bos";   // bos | eos | both | none
  double val_fraction = 0.05;
  std::string licence;  // noted in the sidecar
  std::int64_t shard_tokens = 100'000'000;
  std::string tool = "a48";  // program and version, noted in the sidecar
  bool force = false;        // replace shards that are there
};

/// Returns the sidecar that was written, or the one that is there when the same request has already been
/// carried out.
Json prepare(const PrepareRequest& request);

}  // namespace a48::data
