// Loader: training batches as a pure function of (stream, consumed), and evaluation pieces (formats.md 6.4).
// Shards: shard.h; order: order.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/types.h"
#include "core/runtime/tokenizer.h"
#include "data/shard.h"

namespace a48::data {

/// Where a window's tokens stand, for audits.
struct Span {
  std::size_t shard = 0;
  std::int64_t begin = 0;  // first token
  std::int64_t count = 0;  // T + 1
};

class Loader {
 public:
  /// Opens and checks the train split; with DataKind::mock tokens are f(seed, window) and no file is read.
  /// `bos_id`: the model's, for shards that have no sidecar to say it.
  Loader(const config::Data& data, std::int64_t vocab_size, std::uint64_t seed, std::int64_t bos_id);

  std::int64_t windows() const { return windows_; }           // N
  std::int64_t sequence_length() const { return sequence_; }  // T
  const ShardSet& shards() const { return shards_; }
  std::string fingerprint() const;

  /// Sequences at positions consumed … consumed+count−1: ids [count, T+1], row-major.
  void batch(std::uint64_t stream, std::int64_t consumed, std::int64_t count, std::int64_t* ids) const;
  std::vector<Span> spans(std::uint64_t stream, std::int64_t consumed, std::int64_t count) const;

 private:
  Span span_of(std::int64_t window) const;

  config::DataKind kind_;
  std::int64_t vocab_ = 0, sequence_ = 0, windows_ = 0;
  std::uint64_t seed_ = 0;
  ShardSet shards_;
  std::vector<std::int64_t> first_window_;  // per shard (cut)
  std::vector<Span> bos_windows_;           // windows = bos
};

/// Evaluation pieces (formats.md 6.4): consecutive stretches of documents, each with BOS in front; every
/// token after it is scored once.
struct EvaluationPieces {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<bool> starts_document;  // per piece: its first scored token is a document's first

  std::size_t size() const { return ids.size(); }
  std::int64_t scored_tokens() const;
};

/// The val split cut into pieces of at most T−1 scored tokens. `limit` > 0 takes that many, evenly spaced; 0
/// all.
EvaluationPieces evaluation_pieces(const ShardSet& val, std::int64_t sequence_length, std::int64_t vocab,
                                   std::int64_t limit);
/// The same for texts given as ids, one document each, without BOS.
EvaluationPieces pieces_of_documents(const std::vector<std::vector<std::int32_t>>& documents,
                                     std::int32_t bos_id, std::int64_t sequence_length,
                                     std::int64_t limit = 0);
/// Bytes of text that the scored tokens of a piece stand for; a document's dummy prefix counts 0.
std::int64_t scored_bytes(const EvaluationPieces& pieces, std::size_t piece,
                          const runtime::Tokenizer& tokenizer);

}  // namespace a48::data
