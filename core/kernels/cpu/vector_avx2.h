// Kernel-internal: eight fp32 lanes as one AVX2 register; the interface and the reasons are those of
// vector_avx512.h.
#pragma once

#include <immintrin.h>

#include "core/base/fmath.h"
#include "core/base/host_device.h"
#include "core/quant/half.h"

namespace a48::kernels::cpu {
namespace {

struct Vector {
  static constexpr int kWidth = 8;
  __m256 v;

  static A48_INLINE Vector zero() { return {_mm256_setzero_ps()}; }
  static A48_INLINE Vector broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static A48_INLINE Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  /// The first n of 0 … kWidth elements; the others are +0 and not read.
  static A48_INLINE Vector load_first(const float* p, int n) { return {_mm256_maskload_ps(p, mask_of(n))}; }
  /// bf16, widened.
  static A48_INLINE Vector load(const quant::Bf16* p) {
    return widened(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static A48_INLINE Vector load_first(const quant::Bf16* p, int n) {
    alignas(16) quant::Bf16 part[kWidth] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return widened(_mm_load_si128(reinterpret_cast<const __m128i*>(part)));
  }
  static A48_INLINE Vector widened(__m128i bf16) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16))};
  }
  A48_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  A48_INLINE void store_first(float* p, int n) const { _mm256_maskstore_ps(p, mask_of(n), v); }

  static A48_INLINE __m256i mask_of(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

A48_INLINE Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
A48_INLINE Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
A48_INLINE Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
A48_INLINE Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
A48_INLINE Vector maximum(Vector a, Vector b) { return {_mm256_max_ps(a.v, b.v)}; }

/// exp_f32 in each lane.
A48_INLINE Vector exp_f32(Vector x) {
  using namespace exp_parts;
  // max and min return their second operand when one is NaN.
  __m256 c = _mm256_max_ps(_mm256_set1_ps(kLowest), x.v);
  c = _mm256_min_ps(_mm256_set1_ps(kHighest), c);
  const __m256 shift = _mm256_set1_ps(kRoundingShift);
  const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(c, _mm256_set1_ps(kLog2E)), shift);
  const __m256 n = _mm256_sub_ps(shifted, shift);
  const __m256 r = _mm256_sub_ps(_mm256_sub_ps(c, _mm256_mul_ps(n, _mm256_set1_ps(kLn2High))),
                                 _mm256_mul_ps(n, _mm256_set1_ps(kLn2Low)));
  __m256 q = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(kQ4), r), _mm256_set1_ps(kQ3));
  q = _mm256_add_ps(_mm256_mul_ps(q, r), _mm256_set1_ps(kQ2));
  q = _mm256_add_ps(_mm256_mul_ps(q, r), _mm256_set1_ps(kQ1));
  q = _mm256_add_ps(_mm256_mul_ps(q, r), _mm256_set1_ps(kQ0));
  const __m256 mantissa =
      _mm256_add_ps(_mm256_set1_ps(1.0f), _mm256_add_ps(r, _mm256_mul_ps(_mm256_mul_ps(r, r), q)));
  const __m256i exponent =
      _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(static_cast<int>(kRoundingShiftBits)));
  const __m256i first = _mm256_srai_epi32(exponent, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first_bits = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
  const __m256i second_bits =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(exponent, first), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(mantissa, _mm256_castsi256_ps(first_bits)),
                        _mm256_castsi256_ps(second_bits))};
}

A48_INLINE float largest_lane(Vector x) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/// Lane i of the result: the lanes of row[i] added as E1 does, l += l+4, +2, +1. Every step adds two rows'
/// halves at once.
A48_INLINE Vector sum_each(const Vector (&row)[8]) {
  const auto add_4 = [](Vector a, Vector b) {  // halves: a b
    return _mm256_add_ps(_mm256_permute2f128_ps(a.v, b.v, 0x20), _mm256_permute2f128_ps(a.v, b.v, 0x31));
  };
  const auto two = [&](int i) { return add_4(row[i], row[i + 4]); };
  const auto add_2 = [](__m256 p, __m256 q) {  // in each half: p.01 + p.23, q.01 + q.23
    const __m256d a = _mm256_castps_pd(p), b = _mm256_castps_pd(q);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  };
  const __m256 r = add_2(two(0), two(1)), s = add_2(two(2), two(3));
  return {_mm256_add_ps(_mm256_shuffle_ps(r, s, 0x88), _mm256_shuffle_ps(r, s, 0xDD))};
}

}  // namespace
}  // namespace a48::kernels::cpu
