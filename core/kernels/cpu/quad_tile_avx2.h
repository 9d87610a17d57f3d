// Kernel-internal: the step from rows of bytes to the panels of gemm_ternary.h on the avx2 and avx512 levels.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/base/host_device.h"

namespace a48::kernels::cpu {
namespace {

/// Quads are 32-bit lanes: y[q] = quad q of x[0] … x[7].
A48_INLINE void transpose_quads(const __m256i (&x)[8], __m256i (&y)[8]) {
  __m256i pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {  // quads of rows i, i+1 alternate
    pair[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
    pair[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {  // rows i … i+3 of quad j in the low half, of quad j+4 in the high half
    four[i] = _mm256_unpacklo_epi64(pair[i], pair[i + 2]);
    four[i + 1] = _mm256_unpackhi_epi64(pair[i], pair[i + 2]);
    four[i + 2] = _mm256_unpacklo_epi64(pair[i + 1], pair[i + 3]);
    four[i + 3] = _mm256_unpackhi_epi64(pair[i + 1], pair[i + 3]);
  }
  for (int j = 0; j < 4; ++j) {
    y[j] = _mm256_permute2x128_si256(four[j], four[j + 4], 0x20);
    y[j + 4] = _mm256_permute2x128_si256(four[j], four[j + 4], 0x31);
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
