#include "training/cost.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "core/base/check.h"
#include "modules/memory.h"

namespace a48::train {
namespace {

constexpr std::int64_t kFloat = 4;  // bytes

/// No machine has that many bytes, no run that many tokens.
std::int64_t saturated(double count) { return static_cast<std::int64_t>(std::min(count, 9e18)); }

/// Floats that autograd holds per token: inputs of the norms, q, k, v, the attention's output, gate and up,
/// their product; integer codes of the linear inputs beside them. The head adds logits, their softmax and its
/// gradient.
std::int64_t activation_estimate(const config::RunConfig& config, std::int64_t activation) {
  const config::Model& m = config.model;
  std::int64_t longest = 0;
  bool fp = false;
  for (const config::Stage& stage : config.stages) {
    longest = std::max(longest, stage.data.sequence_length);
    fp = fp || !config::slots_of(stage.mode, stage.quant).ternary_weights;
  }
  const double tokens = static_cast<double>(config.run.micro_batch_size) * static_cast<double>(longest);
  const std::int64_t linear_inputs = 3 * m.hidden_size + m.intermediate_size;
  const std::int64_t floats = 7 * m.hidden_size + 3 * m.intermediate_size;
  const std::int64_t layer = activation * floats + linear_inputs * (fp ? activation : 1);
  const std::int64_t head = 3 * kFloat * m.vocab_size;
  const double bytes = tokens * (static_cast<double>(m.num_hidden_layers) * static_cast<double>(layer) +
                                 static_cast<double>(head));
  return saturated(bytes);
}

std::string size_of(std::int64_t bytes) { return nn::byte_size(static_cast<double>(bytes)); }

}  // namespace

Cost cost_of(const config::RunConfig& config, std::int64_t activation) {
  Cost cost;
  cost.parameters = config::total_parameters(config.model);
  cost.embedding = config::embedding_parameters(config.model);
  cost.state_bytes = 4 * kFloat * cost.parameters;
  cost.checkpoint_bytes = 3 * kFloat * cost.parameters;
  cost.activation_bytes = activation_estimate(config, activation);
  cost.steps = config.run.max_steps;
  std::int64_t begin = 0;
  double tokens = 0.0;  // exact below 2^53
  for (std::size_t stage = 0; stage < config.stages.size(); ++stage) {
    const std::int64_t end = config::stage_end(config, stage);
    tokens += static_cast<double>(end - begin) * static_cast<double>(config.run.global_batch_size) *
              static_cast<double>(config.stages[stage].data.sequence_length);
    begin = end;
  }
  cost.tokens = saturated(tokens);
  return cost;
}

std::string describe(const Cost& cost, const config::RunConfig& config, std::int64_t windows) {
  const double epochs =
      static_cast<double>(cost.steps * config.run.global_batch_size) / static_cast<double>(windows);
  char text[512];
  std::snprintf(text, sizeof text,
                "model: %s parameters (%s in embedding and head), %lld layers of width %lld\n"
                "run: %lld steps x %lld sequences, %s tokens, %.2f epochs of %lld windows\n"
                "memory: about %s (weights, gradients and moments %s, activations of a micro-batch %s); "
                "disk: %s a checkpoint",
                short_number(static_cast<double>(cost.parameters)).c_str(),
                short_number(static_cast<double>(cost.embedding)).c_str(),
                static_cast<long long>(config.model.num_hidden_layers),
                static_cast<long long>(config.model.hidden_size), static_cast<long long>(cost.steps),
                static_cast<long long>(config.run.global_batch_size),
                short_number(static_cast<double>(cost.tokens)).c_str(), epochs,
                static_cast<long long>(windows), size_of(cost.memory_bytes()).c_str(),
                size_of(cost.state_bytes).c_str(), size_of(cost.activation_bytes).c_str(),
                size_of(cost.checkpoint_bytes).c_str());
  return text;
}

void demand_resources(const Cost& cost, const Path& run) {
  const auto memory = static_cast<std::int64_t>(nn::free_memory_bytes());
  A48_CHECK(cost.memory_bytes() <= memory, ErrorKind::no_resources, "this run needs about ",
            size_of(cost.memory_bytes()), " of memory (", size_of(cost.state_bytes),
            " for weights, gradients and moments), ", size_of(memory),
            " is free; use a smaller model or a smaller run.micro_batch_size");
  if (run.empty()) return;
  const auto disk = static_cast<std::int64_t>(
      std::min<std::uint64_t>(free_disk_bytes(run), std::numeric_limits<std::int64_t>::max()));
  A48_CHECK(cost.checkpoint_bytes <= disk, ErrorKind::no_resources, "a checkpoint takes ",
            size_of(cost.checkpoint_bytes), ", the disk of ", run.string(), " has ", size_of(disk),
            " free; make room there, or set run.dir to a folder on another disk");
}

void demand_gpu_memory(const Cost& cost, const std::string& name, std::int64_t free) {
  A48_CHECK(cost.memory_bytes() <= free, ErrorKind::no_resources, "this run needs about ",
            size_of(cost.memory_bytes()), " of the GPU's memory (", size_of(cost.state_bytes),
            " for weights, gradients and moments), ", size_of(free), " are free on ", name,
            "; use a smaller model, a smaller run.micro_batch_size, or run.device=cpu");
}

std::int64_t used_memory_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::string short_number(double value) {
  const char* suffixes[] = {"", "k", "M", "G", "T"};
  std::size_t which = 0;
  while (std::abs(value) >= 999.95 && which + 1 < std::size(suffixes)) {
    value /= 1000.0;
    ++which;
  }
  char text[32];
  std::snprintf(text, sizeof text, which == 0 ? "%.0f%s" : "%.1f%s", value, suffixes[which]);
  return text;
}

std::string clock_time(double seconds) {
  const auto total = static_cast<long long>(seconds + 0.5);
  char text[32];
  std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60, total % 60);
  return text;
}

}  // namespace a48::train
