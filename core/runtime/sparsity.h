// The sparsity table: from counts of zero codes to the columns of the paper's Table 2 and the active
// parameters (numerics.md 8). Whoever runs a model counts; the formula stands in sparsity.cpp alone. Type of
// the result: model.h.
#pragma once

#include <cstdint>

#include "core/base/json.h"
#include "core/config/types.h"
#include "core/runtime/model.h"

namespace a48::runtime {

/// Zeros among `total` values seen.
struct ZeroCount {
  std::int64_t zeros = 0;
  std::int64_t total = 0;

  void add(std::int64_t zeros_, std::int64_t total_) {
    zeros += zeros_;
    total += total_;
  }
  double share() const { return total > 0 ? static_cast<double>(zeros) / static_cast<double>(total) : 0.0; }
};

/// Summed over tokens and layers. A linear input that is not quantized is not counted.
struct SparsityCounts {
  ZeroCount qkv;          // codes of the input of q, k, v
  ZeroCount out;          // codes of the input of o_proj, dropped entries of TopK included
  ZeroCount gate;         // codes of the input of gate and up
  ZeroCount down;         // codes of the input of down_proj
  ZeroCount gate_output;  // values of the activation of gate: relu²(gate) == 0
};

/// Shares and active parameters from counts; `measured` is false when no code was counted.
Sparsity sparsity_of(const SparsityCounts& counts, const config::Model& model);

/// Fills `overall` (the mean of the columns, weighted by the size of the matrices that they spare) and
/// `active_parameters`.
void complete_sparsity(Sparsity& shares, const config::Model& model);

/// The columns in percent, under the names that `eval --json` and metrics.jsonl use; null when not measured.
Json sparsity_json(const Sparsity& sparsity);

}  // namespace a48::runtime
