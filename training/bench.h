// `a48 bench train`: the cost of a training step in each mode on one model. No torch here.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"

namespace a48::train {

struct BenchRequest {
  std::string preset = "11M";                                        // numerics.md 6
  std::vector<std::string> modes{"none", "a8", "a4.8", "a4.8-fp4"};  // "a8-eager": as in eager_fake_quant.h
  std::int64_t batch = 0, sequence = 0;  // 0 = the preset's speed shape: 8 × 256 (11M), 2 × 256 (85M)
  std::int64_t vocab = 0;                // 0 = 4096, on a GPU the preset's
  int warmup = 2, steps = 10;            // timed steps per mode, modes alternate
  int threads = 0;
  bool bf16_backward = false;  // run.backward_dtype=bf16 in the quantized modes
  bool recompute_glu = false;  // run.recompute_glu, on a GPU
  bool gpu = false;            // bf16 activations and products; the preset's vocabulary unless vocab is set
};

/// {machine, preset, tokens, modes: {mode: {step_ms: {median, q1, q3}, tokens_per_s, saved_bytes and its
/// parts saved_{activation,weight,head}_bytes, saved_linear_input_bytes, ratio}}}
/// On a GPU also memory_bytes, mfu, sol, {ceilings} and {code_products}: what was measured and chosen.
Json bench_train(const BenchRequest& request);

/// `a48 bench kernels --device cuda`: {gpu, ceilings, kernels: [{name, shape, us: {median, q1, q3}, share of
/// its ceiling}]}; every kernel's result is compared before it is timed.
Json bench_gpu_kernels();
/// {read_gb_s, copy_gb_s, bf16_tflops, int8_tops, launch_us}: what this GPU reaches in LibTorch's own
/// kernels.
Json gpu_ceilings();

}  // namespace a48::train
