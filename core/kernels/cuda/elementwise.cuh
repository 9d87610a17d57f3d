// Kernels that do one thing per element: each thread has the quads of a row at one place, blocks are rows by
// pieces of a row.
#pragma once

#include <cstdint>

#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/reduce.cuh"

namespace a48::kernels::cuda {

inline constexpr int kElementThreads = 256;

/// One thread per item of a row of `items`.
inline Grid grid_of_items(std::int64_t rows, std::int64_t items) {
  return {rows, (items + kElementThreads - 1) / kElementThreads, kElementThreads, 0};
}
__device__ inline std::int64_t row_of_thread() { return blockIdx.x; }
__device__ inline std::int64_t item_of_thread() {
  return static_cast<std::int64_t>(blockIdx.y) * kElementThreads + thread_of_block();
}

}  // namespace a48::kernels::cuda
