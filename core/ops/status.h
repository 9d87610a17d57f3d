// Non-finite rows met by quantizers: the flag of numerics.md 2. The trainer asks before an update and rejects
// the step; evaluation turns it into an error. One record per process: the first finding since the last
// reset.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace a48::ops {

void reset_non_finite();
/// "model.layers.3.self_attn.o_proj input, row 17" or "model.layers.3.mlp.up_proj weight".
std::optional<std::string> first_non_finite();
/// Row of the finding in its matrix; -1 for a weight or when there is none.
std::int64_t first_non_finite_row();
/// Keeps the first one. row < 0: a weight.
void report_non_finite(const std::string& what, std::int64_t row = -1);

/// The same for flags on a device (uint8, kRowNonFinite = bad), which nobody waits for: they are kept until
/// the next reset, and looked at by whoever asks for the first finding.
void watch_rows(const std::string& what, const at::Tensor& status);
void watch_weight(const std::string& what, const at::Tensor& status);
/// bool scalar on their device: is one of the watched flags set? Undefined when nothing was watched.
at::Tensor watched_flag();

struct WatchedStatus {
  std::string what;
  at::Tensor status;
  bool is_weight = false;
};

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
  std::vector<WatchedStatus> outer_watched_;
};

}  // namespace a48::ops
