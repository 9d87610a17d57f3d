// LanguageModel: tokens in, logits out. A checkpoint (training/scorer.h) is one, a packed file (decoder.h)
// another. Users: generate.h, score.h, the tools.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/view.h"

namespace a48::runtime {

struct ModelInfo {
  std::int64_t vocab_size = 0;
  std::int64_t max_positions = 0;
  std::int64_t sequence_length =
      0;  // of training, or max_positions when unknown: the length of evaluation pieces
  std::int64_t bos_id = 1, eos_id = 2;
  std::int64_t non_embedding_parameters = 0;
  std::string mode;    // the mode in which logits are computed, "a4.8"
  std::string source;  // file or folder, for messages
};

struct TokenInput {
  std::int32_t sequence = 0;  // index given by start
  std::int32_t id = 0;
  bool wants_logits = false;
};

/// Share of zero codes per linear input since reset, in the columns of the paper's Table 2; all in [0, 1].
struct Sparsity {
  double qkv = 0, out = 0, up = 0, gate = 0, down = 0, gate_output = 0, overall = 0;
  double active_parameters = 0;  // non-embedding · (1 − overall)
  bool measured = false;         // false in modes without quantized inputs
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelInfo& info() const = 0;

  /// Forgets all sequences and begins `sequences` empty ones.
  virtual void start(std::int32_t sequences) = 0;
  /// A hint: each sequence will hold up to `positions`, so that feeding them needs no further storage.
  virtual void reserve(std::int64_t positions) { static_cast<void>(positions); }
  /// Feeds tokens in order; those of one sequence take consecutive positions after what it holds. Results do
  /// not depend on how tokens are grouped into calls, nor on other sequences. Returns one row [V] per token
  /// that wants logits, in order; valid until the next call. An id outside [0, V), a position >=
  /// max_positions, or a non-finite activation is an Error.
  virtual Rows<const float> feed(std::span<const TokenInput> tokens) = 0;

  virtual void reset_sparsity() = 0;
  virtual Sparsity sparsity() const = 0;
};

}  // namespace a48::runtime
