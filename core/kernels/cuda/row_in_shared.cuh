// A row in shared memory, four values a quad, quad q belonging to thread q mod block size: what quantize_rows
// and topk_rows do the same way.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/radix_select.cuh"
#include "core/quant/half.h"
#include "core/quant/math.h"

namespace a48::kernels::cuda {

inline constexpr int kQuad = 4;

__device__ __forceinline__ float widened(float x) { return x; }
__device__ __forceinline__ float widened(quant::Bf16 x) { return quant::widen(x); }

/// 4q … 4q + 3 of a row whose start is a multiple of four elements.
__device__ __forceinline__ float4 load_quad(const float* x, std::int64_t q) {
  return __ldg(reinterpret_cast<const float4*>(x) + q);
}
__device__ __forceinline__ float4 load_quad(const quant::Bf16* x, std::int64_t q) {
  const uint2 pairs = __ldg(reinterpret_cast<const uint2*>(x) + q);
  return {quant::from_bits(pairs.x << 16), quant::from_bits(pairs.x & 0xffff0000u),
          quant::from_bits(pairs.y << 16), quant::from_bits(pairs.y & 0xffff0000u)};
}

/// The same, behind the width 0.
template <typename T>
__device__ float4 load_quad_of(const T* x, std::int64_t width, std::int64_t q, bool aligned) {
  if (aligned && q * kQuad + kQuad <= width) return load_quad(x, q);
  float v[kQuad];
  for (int i = 0; i < kQuad; ++i) v[i] = q * kQuad + i < width ? widened(x[q * kQuad + i]) : 0.0f;
  return {v[0], v[1], v[2], v[3]};
}

/// visit(q) for the quads of this thread.
template <typename Visit>
__device__ void for_own_quads(std::int64_t quads, Visit visit) {
  for (std::int64_t q = thread_of_block(); q < quads; q += threads_of_block()) visit(q);
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

inline constexpr std::int64_t quads_of(std::int64_t width) { return (width + kQuad - 1) / kQuad; }

/// Threads of a block that works on one row: a power of two, four or more values each.
inline int threads_for_row(std::int64_t width) { return width <= 1024 ? 128 : (width <= 8192 ? 256 : 512); }

}  // namespace a48::kernels::cuda
