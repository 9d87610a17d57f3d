// Guard: a step whose loss, gradient norm or quantizer inputs are not finite is rejected before the update;
// step and data advance, applied updates do not. The first rejection leaves a dump; kMostInARow of them end
// the run (numerics.md 2, training.md 1.7). Windows of past losses and norms tell how unusual a step is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/json.h"
#include "training/optimizer.h"

namespace a48::train {

inline constexpr std::int64_t kMostInARow = 8;
inline constexpr std::size_t kWindow = 128;  // applied steps that a z-score looks back on
inline constexpr std::size_t kLeastForScore = 16;

/// fp32 scalar on the device of the loss: 1 when the loss, the norm of gradients or weights, or a quantizer's
/// input is not finite, else 0.
at::Tensor rejection_flag(const at::Tensor& loss, const at::Tensor& norm, const at::Tensor& weight_norm);
/// In words, for a step that was rejected; names layer and row where a quantizer saw it.
std::string rejection_reason(double loss, double norm);

/// Saved with every checkpoint.
struct GuardState {
  std::int64_t rejected = 0;  // steps in the whole run
  std::int64_t in_a_row = 0;
  std::vector<double> losses, norms;  // of the last kWindow applied steps, oldest first
  bool operator==(const GuardState&) const = default;
};

struct Scores {
  std::optional<double> loss,
      norm;  // (value − mean) / standard deviation over the window; unset below kLeastForScore steps
};

/// Scores a step against the window, then takes it in.
Scores note_applied(GuardState& state, double loss, double norm);

/// Where a rejected step read its data.
struct RejectedStep {
  std::int64_t step = 0;
  std::uint64_t stream = 0;
  std::int64_t consumed = 0, sequences = 0;
  std::string reason;
};
/// Counts it; the first of the run is dumped to `folder`/rejected-step-N.json. Error(not_finite) at
/// kMostInARow.
void note_rejected(GuardState& state, const RejectedStep& step, const AdamW& optimizer, const Path& folder);

/// Norms of every weight and gradient, and the place where it went wrong first.
Json rejection_dump(const RejectedStep& step, const AdamW& optimizer);

}  // namespace a48::train
