// Non-finite rows met by quantizers: the flag of numerics.md 2. The trainer asks before an update and rejects
// the step; evaluation turns it into an error. One record per process: the first finding since the last
// reset.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace a48::ops {

void reset_non_finite();
/// "model.layers.3.self_attn.o_proj input, row 17" or "model.layers.3.mlp.up_proj weight".
std::optional<std::string> first_non_finite();
/// Row of the finding in its matrix; -1 for a weight or when there is none.
std::int64_t first_non_finite_row();
/// Keeps the first one. row < 0: a weight.
void report_non_finite(const std::string& what, std::int64_t row = -1);

/// A record of its own while it lives: evaluation inside a training run does not touch the run's record.
class NonFiniteScope {
 public:
  NonFiniteScope();
  ~NonFiniteScope();
  NonFiniteScope(const NonFiniteScope&) = delete;
  NonFiniteScope& operator=(const NonFiniteScope&) = delete;

 private:
  std::optional<std::string> outer_;
  std::int64_t outer_row_;
};

}  // namespace a48::ops
