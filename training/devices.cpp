#include "training/devices.h"

#include <cstdio>
#include <memory>

#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/ops/gpu.h"
#include "training/cost.h"
#include "training/launch.h"

namespace a48::train {
namespace {

struct NamedPeaks {
  const char* name;
  Peaks peaks;
};
// Data sheets, dense, without sparsity.
constexpr NamedPeaks kPeaks[] = {
    {"NVIDIA A100-SXM4-40GB", {312e12, 624e12, 1.6e12}},
    {"NVIDIA A100-SXM4-80GB", {312e12, 624e12, 2.0e12}},
    {"NVIDIA H100 80GB HBM3", {989e12, 1979e12, 3.35e12}},
    {"NVIDIA H200", {989e12, 1979e12, 4.8e12}},
    {"NVIDIA B200", {2250e12, 4500e12, 8e12}},
    {"NVIDIA GeForce RTX 4090", {165e12, 660e12, 1.0e12}},
};

bool wants_gpu(config::Device device) {
  if (device != config::Device::automatic) return device == config::Device::cuda;
  return ops::gpu_count() > 0;
}

Placement on_cpu(const config::RunConfig& config) {
  A48_CHECK(config.run.compute_dtype != config::Dtype::bf16, ErrorKind::config,
            "run.compute_dtype: bf16 needs a GPU; on the CPU it is fp32 (or auto)");
  A48_CHECK(!config.run.recompute_glu, ErrorKind::config,
            "run.recompute_glu: gate and up are made again on a GPU only");
  demand_backward_dtype(config, cpu_has_bf16());
  Placement placement;
  if (config.run.backward_dtype == config::Dtype::bf16) placement.backward = ops::BackwardDtype::bf16;
  return placement;
}

Placement on_gpu(const config::RunConfig& config) {
  A48_CHECK(ops::gpu_count() > 0, ErrorKind::no_resources,
            "run.device: cuda, --device cuda: ", ops::no_gpu_reason(), "; use cpu");
  A48_CHECK(config.run.attention_impl == config::AttentionImpl::sdpa &&
                config.run.head_impl == config::HeadImpl::gemm,
            ErrorKind::config,
            "run.attention_impl, run.head_impl: exact is the CPU's order; on a GPU use sdpa and gemm");
  if (config.run.deterministic) ops::set_deterministic(true);
  ops::use_gpu();
  Placement placement;
  placement.device = torch::kCUDA;
  const bool fp32 = config.run.compute_dtype == config::Dtype::fp32;
  placement.compute = fp32 ? torch::kFloat : torch::kBFloat16;
  const config::Dtype backward = config.run.backward_dtype;
  const bool backward_fp32 = backward == config::Dtype::automatic ? fp32 : backward == config::Dtype::fp32;
  placement.backward = backward_fp32 ? ops::BackwardDtype::fp32 : ops::BackwardDtype::bf16;
  return placement;
}

double head_weights(const config::Model& model) {
  return static_cast<double>(model.vocab_size) * static_cast<double>(model.hidden_size);
}

double attention_flops(const config::Model& model, std::int64_t sequence) {
  return 6.0 * static_cast<double>(model.num_hidden_layers) * static_cast<double>(model.hidden_size) *
         static_cast<double>(sequence);
}

}  // namespace

Placement place_run(const config::RunConfig& config) {
  return wants_gpu(config.run.device) ? on_gpu(config) : on_cpu(config);
}

Placement place_on_gpu(config::Dtype compute) {
  config::RunConfig config;
  config.run.device = config::Device::cuda;
  config.run.compute_dtype = compute;
  return on_gpu(config);
}

std::string device_name(const Placement& placement) { return placement.on_gpu() ? ops::gpu_name() : "cpu"; }

Json gpu_query() {
  const std::unique_ptr<FILE, int (*)(FILE*)> output(
      popen("nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.sm,clocks.max.sm,memory.total "
            "--format=csv,noheader -i 0 2>/dev/null",
            "r"),
      pclose);
  char line[512] = {};
  if (!output || std::fgets(line, sizeof line, output.get()) == nullptr) return Json();
  std::string text = line;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::int64_t memory_in_use(const Placement& placement) {
  return placement.on_gpu() ? ops::gpu_memory().most_used : used_memory_bytes();
}

void finish(const Placement& placement) {
  if (placement.on_gpu()) ops::finish_gpu();
}

std::optional<Peaks> peaks_of(const std::string& device_name) {
  for (const NamedPeaks& row : kPeaks)
    if (device_name == row.name) return row.peaks;
  return std::nullopt;
}

double flops_per_token(const config::Model& model, std::int64_t sequence) {
  return 6.0 * (static_cast<double>(config::non_embedding_parameters(model)) + head_weights(model)) +
         attention_flops(model, sequence);
}

double least_seconds_per_token(const config::Model& model, const quant::Slots& slots, std::int64_t sequence,
                               const Peaks& peaks) {
  const double width = static_cast<double>(model.hidden_size),
               inner = static_cast<double>(model.intermediate_size),
               layers = static_cast<double>(model.num_hidden_layers),
               kv = static_cast<double>(model.kv_heads() * model.head_dim());
  const auto product = [&](double weights, quant::Scheme input) {
    const bool codes = slots.ternary_weights && input != quant::Scheme::fp;
    return 2.0 * weights / (codes ? peaks.int8_ops : peaks.bf16_flops) + 4.0 * weights / peaks.bf16_flops;
  };
  const double layer = product(width * (width + 2.0 * kv), slots.qkv) + product(width * width, slots.o) +
                       product(2.0 * width * inner, slots.gate_up) + product(width * inner, slots.down);
  return layers * layer + (6.0 * head_weights(model) + attention_flops(model, sequence)) / peaks.bf16_flops;
}

}  // namespace a48::train
