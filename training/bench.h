// `a48 bench train`: the cost of a training step in each mode on one model. No torch here.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"

namespace a48::train {

struct BenchRequest {
  std::string preset = "11M";  // numerics.md 6
  std::vector<std::string> modes{"none", "a8", "a4.8", "a4.8-fp4"};
  std::int64_t batch = 0, sequence = 0;  // 0 = the preset's speed shape: 8 × 256 (11M), 2 × 256 (85M)
  std::int64_t vocab = 4096;
  int warmup = 2, steps = 10;  // timed steps per mode, modes alternate
  int threads = 0;
  bool bf16_backward = false;  // run.backward_dtype=bf16 in the quantized modes
};

/// {machine, preset, tokens, modes: {mode: {step_ms: {median, q1, q3}, tokens_per_s, saved_bytes and its
/// parts saved_{activation,weight,head}_bytes, saved_linear_input_bytes, ratio}}}
Json bench_train(const BenchRequest& request);

}  // namespace a48::train
