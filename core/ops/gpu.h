// The GPU of this process: what it is, and handing it to the operations. Implemented twice: bridge_cuda.cpp,
// where LibTorch has its CUDA libraries, and bridge_cpu_only.cpp, which says why there is none. The first GPU
// that the process may see is used; CUDA_VISIBLE_DEVICES chooses another.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/function_ref.h"

namespace a48::ops {

/// GPUs that this build and machine can use.
int gpu_count();
/// Why there is none, as the end of a sentence; "" when there is one.
std::string no_gpu_reason();
/// Lets the operations work on tensors of the GPU; products of bf16 operands then add up in fp32 throughout.
/// Error(no_resources) when there is no GPU, or one older than the kernels (compute capability 8.0).
void use_gpu();
/// "NVIDIA H100 80GB HBM3".
std::string gpu_name();

struct GpuMemory {
  std::int64_t total = 0, free = 0;  // of the device; free also counts what this process holds and can reuse
  std::int64_t used = 0, most_used = 0;  // by tensors of this process: now, and since the last reset
};
GpuMemory gpu_memory();
void reset_most_used();

/// Waits for all work of the GPU.
void finish_gpu();

/// Seconds between two events around the work that `work` puts on the current stream; waits for it.
double gpu_seconds(FunctionRef<void()> work);

/// Run-to-run equality: only algorithms that always give the same bits (training.md R5). Before the first
/// product on a GPU.
void set_deterministic(bool on);

}  // namespace a48::ops
