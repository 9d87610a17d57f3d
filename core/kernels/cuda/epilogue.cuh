// What follows every ternary product: which α a row of fused matrices has, the one scale formula
// (core/quant/math.h), and the store as fp32 or bf16.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/table_cuda.h"
#include "core/quant/half.h"
#include "core/quant/math.h"

namespace a48::kernels::cuda {

/// The scales of fused matrices, as a kernel takes them.
struct Scales {
  std::int64_t end[kMostMatrices];
  const float* alpha[kMostMatrices];

  /// α of output n. Outputs behind the last end have that of the last matrix.
  __device__ float of(std::int64_t n) const {
    const float* found = alpha[kMostMatrices - 1];
    for (int m = kMostMatrices - 2; m >= 0; --m) found = n < end[m] ? alpha[m] : found;
    return *found;
  }
};

/// Missing matrices repeat the last one.
inline Scales scales_of(const TernaryOperand& weight) {
  Scales scales;
  for (int m = 0; m < kMostMatrices; ++m) {
    const int from = m < weight.matrices ? m : weight.matrices - 1;
    scales.end[m] = weight.end[from];
    scales.alpha[m] = weight.alpha[from];
  }
  return scales;
}

inline bool operand_is_whole(const TernaryOperand& weight) {
  bool whole = weight.matrices >= 1 && weight.matrices <= kMostMatrices &&
               weight.end[weight.matrices - 1] == weight.outputs;
  for (int m = 0; m < weight.matrices; ++m)
    whole = whole && weight.alpha[m] != nullptr && weight.end[m] > (m == 0 ? 0 : weight.end[m - 1]);
  return whole;
}

__device__ __forceinline__ void store(float* to, float y) { *to = y; }
__device__ __forceinline__ void store(quant::Bf16* to, float y) { *to = quant::to_bf16(y); }
/// Two neighbours, the first at an even element of an aligned row.
__device__ __forceinline__ void store_pair(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = {first, second};
}
__device__ __forceinline__ void store_pair(quant::Bf16* to, float first, float second) {
  const std::uint32_t low = quant::to_bf16(first).bits, high = quant::to_bf16(second).bits;
  *reinterpret_cast<std::uint32_t*>(to) = low | high << 16;
}

}  // namespace a48::kernels::cuda
