// A row in shared memory, four values a quad, quad q belonging to thread q mod block size: what
// quantize_rows, topk_rows and rms_norm_rows do the same way.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/quads.cuh"
#include "core/kernels/cuda/radix_select.cuh"
#include "core/quant/math.h"

namespace a48::kernels::cuda {

/// visit(q) for the quads of this thread.
template <typename Visit>
__device__ void for_own_quads(std::int64_t quads, Visit visit) {
  for (std::int64_t q = thread_of_block(); q < quads; q += threads_of_block()) visit(q);
}

/// r = 1/√(S/K + eps), S the fp64 lane sum of the squares (numerics.md 3): by the whole block, with barriers
/// on both sides; `scratch` is shared.
__device__ inline float inverse_rms_of_row(const float4* row, std::int64_t width, double eps,
                                           float& scratch) {
  __syncthreads();
  if (warp_of_block() == 0) {
    const float* x = reinterpret_cast<const float*>(row);
    const double sum = lane_sum_of_warp<double>(
        width, [x](std::int64_t k) { return static_cast<double>(x[k]) * static_cast<double>(x[k]); });
    if (lane_of_warp() == 0) scratch = static_cast<float>(1.0 / sqrt(sum / static_cast<double>(width) + eps));
  }
  __syncthreads();
  return scratch;
}

/// Where the TopK cut of a row in shared memory lies. Zeros behind the width are harmless: they come after
/// all others. Each thread reads its own quads only.
__device__ inline Cut cut_of_row(const float4* row, std::int64_t quads, std::int64_t keep,
                                 RadixScratch& scratch) {
  return select_in_block(keep, scratch, [&](auto visit) {
    for_own_quads(quads, [&](std::int64_t q) {
      const float4 x = row[q];
      visit(quant::magnitude_bits(x.x));
      visit(quant::magnitude_bits(x.y));
      visit(quant::magnitude_bits(x.z));
      visit(quant::magnitude_bits(x.w));
    });
  });
}

/// visit(q, survives[4]) for the quads of this thread, the ties in ascending order: by the whole block.
template <typename Visit>
__device__ void for_each_survival(const float4* row, std::int64_t quads, const quant::TopkCut& cut,
                                  PerWarp<std::uint32_t>& scratch, Visit visit) {
  std::uint32_t ties_before = 0;
  for (std::int64_t first = 0; first < quads; first += threads_of_block()) {
    const std::int64_t q = first + thread_of_block();
    const float4 x = q < quads ? row[q] : float4{0.0f, 0.0f, 0.0f, 0.0f};
    const std::uint32_t bits[kQuad] = {quant::magnitude_bits(x.x), quant::magnitude_bits(x.y),
                                       quant::magnitude_bits(x.z), quant::magnitude_bits(x.w)};
    std::uint32_t own = 0;
    for (const std::uint32_t b : bits) own += b == cut.bits;
    const Place place = place_in_block(own, scratch);
    std::int64_t tie = static_cast<std::int64_t>(ties_before) + place.before;
    bool survives[kQuad];
    for (int i = 0; i < kQuad; ++i)
      survives[i] = bits[i] > cut.bits || (bits[i] == cut.bits && tie++ < cut.ties);
    if (q < quads) visit(q, survives);
    ties_before += place.total;
  }
}

/// Threads of a block that works on one row: a power of two, four or more values each.
inline int threads_for_row(std::int64_t width) { return width <= 1024 ? 128 : (width <= 8192 ? 256 : 512); }

}  // namespace a48::kernels::cuda
