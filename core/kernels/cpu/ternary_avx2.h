// Kernel-internal: what the products with packed ternary weights share on the avx2 level.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/base/host_device.h"
#include "core/kernels/cpu/gemm_ternary.h"

namespace a48::kernels::cpu {
namespace {

// int16 sums have a vector type of their own: g++ 12 keeps a second copy of a loop's sums when they are
// __m256i (four int64). Unsigned, because lanes that nobody needs, and bytes that are no
// ternary codes, may make them wrap.
typedef std::uint16_t Sums __attribute__((vector_size(32)));

A48_INLINE __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// sums + the products of neighbouring bytes, u8 times s8, added in pairs.
A48_INLINE Sums multiply_add(Sums sums, __m256i weight_codes, __m256i codes) {
  return sums + Sums(_mm256_maddubs_epi16(weight_codes, codes));
}

/// Pairs of int16 sums as int32.
A48_INLINE __m256i widen(Sums x) { return _mm256_madd_epi16(__m256i(x), _mm256_set1_epi16(1)); }

/// Additions of one maddubs result before int16 sums must be widened: two products of a weight operand up to
/// `weight` with codes up to `magnitude` (kernels.md 5.2).
constexpr int additions_before_widening(int weight, int magnitude) {
  return additions_in_int16(2 * weight * magnitude);
}

/// Bit pair j of each byte, as codes 0 … 2.
template <int j>
A48_INLINE __m256i bit_pair(__m256i v) {
  return _mm256_and_si256(j == 0 ? v : _mm256_srli_epi16(v, 2 * j), _mm256_set1_epi8(3));
}

/// Lane i: the sum of the lanes of x[i], i < 4.
A48_INLINE __m128i sum_each(const __m256i (&x)[4]) {
  const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(x[0], x[1]), _mm256_hadd_epi32(x[2], x[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

}  // namespace
}  // namespace a48::kernels::cpu
