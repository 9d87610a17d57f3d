// What quantized training looks like from outside: shares of {-1, 0, +1}, codes that flipped, matrices that
// never move, bytes kept for backward.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "modules/causal_lm.h"

namespace a48::nn {

struct TernaryHistogram {
  std::int64_t minus = 0, zero = 0, plus = 0;
};
TernaryHistogram histogram(const at::Tensor& codes);

/// One matrix between two moments.
struct Flips {
  std::string name;
  std::int64_t flipped = 0, total = 0;
};
/// Codes that differ; both lists from ternary_matrices() of one model.
std::vector<Flips> flips(const std::vector<MatrixInfo>& before, const std::vector<MatrixInfo>& after);
/// Names of matrices in which no code flipped.
std::vector<std::string> frozen_matrices(const std::vector<Flips>& flips);

/// Bytes that one training forward keeps for its backward, each storage once, whoever saved it (numerics.md
/// 4.3).
struct SavedBytesReport {
  /// "<linear>/input", "/step", "/weight"; "rms_norm", "glu", "rope", "attention", "head", "parameters";
  /// "unnamed" for what LibTorch's own operations save beside (token ids, the log-sum-exp of attention).
  std::map<std::string, std::int64_t> by_name;
  std::int64_t linear_inputs = 0;  // codes and steps, or float inputs, of all linears; part of activations
  std::int64_t activations = 0, weights = 0, head = 0;  // their sum is the total
  std::int64_t total = 0;
};
/// ids [B, T+1] as in loss_sum. Runs a forward with gradients in the model's present mode and throws it away.
SavedBytesReport measure_saved_bytes(BitNetForCausalLM& model, const at::Tensor& ids);

}  // namespace a48::nn
