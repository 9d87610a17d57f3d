// Sums and maxima of a warp and of a block. Float sums run in the lane order of numerics E1, which a warp
// has by nature; integers in any order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace a48::kernels::cuda {

inline constexpr int kWarpThreads = 32;
inline constexpr int kMostWarps = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline int thread_of_block() { return static_cast<int>(threadIdx.x); }
__device__ inline int threads_of_block() { return static_cast<int>(blockDim.x); }
__device__ inline int lane_of_warp() { return thread_of_block() % kWarpThreads; }
__device__ inline int warp_of_block() { return thread_of_block() / kWarpThreads; }

/// Σ term(k) over k in [0, count) in the order of E1, bit-equal to lane_sum of core/base/fmath.h; by one
/// whole warp, every lane gets it.
template <typename T, typename Term>
__device__ inline T lane_sum_of_warp(std::int64_t count, Term term) {
  T sum = T{0};
#pragma unroll 8
  for (std::int64_t k = lane_of_warp(); k < count; k += kWarpThreads) sum += term(k);
  // Lane l adds lane l + half; what the upper lanes hold is not read again.
  for (int half = kWarpThreads / 2; half > 0; half /= 2)
    sum += __shfl_down_sync(kAllLanes, sum, static_cast<unsigned>(half));
  return __shfl_sync(kAllLanes, sum, 0);
}

/// counter += Σ of the warp's; by one whole warp.
template <typename Counter>
__device__ inline void add_of_warp(int mine, Counter* counter) {
  const int sum = __reduce_add_sync(kAllLanes, mine);
  if (lane_of_warp() == 0 && sum != 0) atomicAdd(counter, static_cast<Counter>(sum));
}

/// One value per warp. A reduction of the block uses one of these once per kernel, so that one barrier will
/// do.
template <typename T>
struct PerWarp {
  T value[kMostWarps];
};

__device__ inline std::uint32_t max_of_block(std::uint32_t mine, PerWarp<std::uint32_t>& scratch) {
  const unsigned of_warp = __reduce_max_sync(kAllLanes, static_cast<unsigned>(mine));
  if (lane_of_warp() == 0) scratch.value[warp_of_block()] = of_warp;
  __syncthreads();
  std::uint32_t largest = 0;
  for (int w = 0; w < threads_of_block() / kWarpThreads; ++w)
    largest = scratch.value[w] > largest ? scratch.value[w] : largest;
  return largest;
}

__device__ inline std::int32_t sum_of_block(std::int32_t mine, PerWarp<std::int32_t>& scratch) {
  const int of_warp = __reduce_add_sync(kAllLanes, static_cast<int>(mine));
  if (lane_of_warp() == 0) scratch.value[warp_of_block()] = of_warp;
  __syncthreads();
  std::int32_t sum = 0;
  for (int w = 0; w < threads_of_block() / kWarpThreads; ++w) sum += scratch.value[w];
  return sum;
}

/// Σ of all threads, always in the same order. Barriers on both sides, so that the scratch can be used again.
__device__ inline float sum_of_block(float mine, PerWarp<float>& scratch) {
  for (int half = kWarpThreads / 2; half > 0; half /= 2) mine += __shfl_xor_sync(kAllLanes, mine, half);
  __syncthreads();
  if (lane_of_warp() == 0) scratch.value[warp_of_block()] = mine;
  __syncthreads();
  float sum = 0.0f;
  for (int w = 0; w < threads_of_block() / kWarpThreads; ++w) sum += scratch.value[w];
  return sum;
}

/// What the threads before this one have together, and all of them.
struct Place {
  std::uint32_t before, total;
};
/// Barriers on both sides, so that the scratch can be used again.
__device__ inline Place place_in_block(std::uint32_t mine, PerWarp<std::uint32_t>& scratch) {
  std::uint32_t up_to = mine;
  for (int delta = 1; delta < kWarpThreads; delta *= 2) {
    const std::uint32_t lower = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(delta));
    if (lane_of_warp() >= delta) up_to += lower;
  }
  __syncthreads();
  if (lane_of_warp() == kWarpThreads - 1) scratch.value[warp_of_block()] = up_to;
  __syncthreads();
  Place place{up_to - mine, 0};
  for (int w = 0; w < threads_of_block() / kWarpThreads; ++w) {
    if (w < warp_of_block()) place.before += scratch.value[w];
    place.total += scratch.value[w];
  }
  return place;
}

}  // namespace a48::kernels::cuda
