// The rotation of one pair of a head (numerics.md 3), for kernels that rotate. Whole rows: rope_rows.cu.
#pragma once

#include <cuda_runtime.h>

namespace a48::kernels::cuda {

/// x_i and x_(i + hd/2), rotated.
struct RotatedPair {
  float first, second;
};
__device__ __forceinline__ RotatedPair rotated(float first, float second, float cos, float sin) {
  return {first * cos - second * sin, second * cos + first * sin};
}

}  // namespace a48::kernels::cuda
