// Where a run computes: the CPU or a GPU, in which types; and what a GPU can do at best, for utilisation
// (training.md 1.9). No file but this one and its source decides that. Next: core/ops/gpu.h.
#pragma once

#include <optional>
#include <string>

#include "core/base/json.h"
#include "core/config/types.h"
#include "core/ops/backward_product.h"
#include "core/quant/scheme.h"

namespace a48::train {

struct Placement {
  torch::Device device = torch::kCPU;
  at::ScalarType compute = torch::kFloat;  // of activations
  ops::BackwardDtype backward = ops::BackwardDtype::fp32;

  bool on_gpu() const { return device.is_cuda(); }
  /// Of one activation.
  std::int64_t activation_bytes() const { return compute == torch::kFloat ? 4 : 2; }
  const char* compute_name() const { return compute == torch::kFloat ? "fp32" : "bf16"; }
};

/// Resolves run.device, run.compute_dtype and run.backward_dtype, and makes the GPU ready where one is used,
/// in deterministic mode if run.deterministic. Error(no_resources) when a GPU is asked for and there is none,
/// Error(config) for what it cannot do.
Placement place_run(const config::RunConfig& config);
/// The GPU for what is no run, with every other key at its default but run.compute_dtype.
Placement place_on_gpu(config::Dtype compute = config::Dtype::automatic);

/// "cpu", or the GPU's name.
std::string device_name(const Placement& placement);
/// What nvidia-smi says of driver, power limit and clocks; null without it.
Json gpu_query();
/// Memory: of tensors on the GPU at its most, or resident memory of the process.
std::int64_t memory_in_use(const Placement& placement);
/// Waits for the work that was started; timings end with it.
void finish(const Placement& placement);

/// Dense peaks.
struct Peaks {
  double bf16_flops = 0.0, int8_ops = 0.0;  // per second, a multiply-add is two
  double bytes = 0.0;                       // of memory, per second
};
/// By exact name; an unknown device has no peaks, never a neighbour's.
std::optional<Peaks> peaks_of(const std::string& device_name);

/// 6·N + 6·L·d·T per token: N weights in matrix products with the head once, L layers of width d, sequences
/// of T tokens, attention counted causally.
double flops_per_token(const config::Model& model, std::int64_t sequence);
/// The products of a training step, each at the peak of its type: forward products on codes are int8, all
/// others bf16. Seconds per token.
double least_seconds_per_token(const config::Model& model, const quant::Slots& slots, std::int64_t sequence,
                               const Peaks& peaks);

}  // namespace a48::train
