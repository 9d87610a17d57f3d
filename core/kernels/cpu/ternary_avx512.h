// Kernel-internal: what the products with packed ternary weights share on the avx512 level.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/base/host_device.h"

namespace a48::kernels::cpu {
namespace {

// Sums are int vectors, not __m512i: g++ 12 treats the latter as eight int64 and then keeps two copies of
// each sum, in memory.
typedef std::int32_t Sums __attribute__((vector_size(64)));

/// Lane i: sums[i] + Σ over the four bytes of the lane, u8 times s8.
A48_INLINE Sums multiply_add(Sums sums, __m512i weight_codes, __m512i codes) {
  return Sums(_mm512_dpbusd_epi32(__m512i(sums), weight_codes, codes));
}

/// Lane i of the result: the sum of the lanes of x[i], i < 16.
A48_INLINE __m512i sum_each(const Sums* x) {
  const auto add_8 = [](__m512i a, __m512i b) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xEE));
  };
  const auto add_4 = [](__m512i ab, __m512i cd) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xDD));
  };
  const auto four = [&](int i) {
    return add_4(add_8(__m512i(x[i]), __m512i(x[i + 4])), add_8(__m512i(x[i + 8]), __m512i(x[i + 12])));
  };
  const auto add_2 = [](__m512i p, __m512i q) {
    return _mm512_add_epi32(_mm512_unpacklo_epi64(p, q), _mm512_unpackhi_epi64(p, q));
  };
  const __m512 r = _mm512_castsi512_ps(add_2(four(0), four(1))),
               s = _mm512_castsi512_ps(add_2(four(2), four(3)));
  return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(r, s, 0x88)),
                          _mm512_castps_si512(_mm512_shuffle_ps(r, s, 0xDD)));
}

/// g++ 12 would rather load again for each use: eight 512-bit loads for 64 bytes, at one a cycle.
A48_INLINE void keep_in_registers(__m512i& a, __m512i& b) { asm("" : "+v"(a), "+v"(b)); }

}  // namespace
}  // namespace a48::kernels::cpu
