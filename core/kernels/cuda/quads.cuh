// Four neighbours of a row at a time, fp32 or bf16: loads and stores of 16 or 8 bytes where the row allows
// them, single ones elsewhere and at its end.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/epilogue.cuh"
#include "core/quant/half.h"
#include "core/quant/math.h"

namespace a48::kernels::cuda {

inline constexpr int kQuad = 4;

inline constexpr std::int64_t quads_of(std::int64_t width) { return (width + kQuad - 1) / kQuad; }

/// True when every row starts at a multiple of four elements.
inline bool quads_are_aligned(const void* data, std::int64_t stride, bool is_bf16) {
  const std::uintptr_t quad_bytes = is_bf16 ? 8 : 16;
  return reinterpret_cast<std::uintptr_t>(data) % quad_bytes == 0 && stride % kQuad == 0;
}

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

template <typename Y>
__device__ void store_quad(Y* row, std::int64_t width, std::int64_t q, const float (&value)[kQuad],
                           bool aligned) {
  Y* to = row + q * kQuad;
  if (aligned && q * kQuad + kQuad <= width) {
    store_pair(to, value[0], value[1]);
    store_pair(to + 2, value[2], value[3]);
    return;
  }
  for (int i = 0; i < kQuad; ++i)
    if (q * kQuad + i < width) store(to + i, value[i]);
}

}  // namespace a48::kernels::cuda
