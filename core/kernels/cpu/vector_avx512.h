// Kernel-internal: sixteen fp32 lanes as one AVX-512 register. vector_avx2.h and vector_portable.h have the
// same interface, so that attention_rows_body.h and head_rows_body.h are written once. The names stand in an
// anonymous namespace: each file that includes this gets its own copies, compiled for its own instruction
// set.
#pragma once

#include <immintrin.h>

#include "core/base/fmath.h"
#include "core/base/host_device.h"
#include "core/quant/half.h"

namespace a48::kernels::cpu {
namespace {

struct Vector {
  static constexpr int kWidth = 16;
  __m512 v;

  static A48_INLINE Vector zero() { return {_mm512_setzero_ps()}; }
  static A48_INLINE Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static A48_INLINE Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  /// The first n of 0 … kWidth elements; the others are +0 and not read.
  static A48_INLINE Vector load_first(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(mask_of(n), p)};
  }
  /// bf16, widened.
  static A48_INLINE Vector load(const quant::Bf16* p) {
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static A48_INLINE Vector load_first(const quant::Bf16* p, int n) {
    return widened(_mm256_maskz_loadu_epi16(mask_of(n), p));
  }
  static A48_INLINE Vector widened(__m256i bf16) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16))};
  }
  A48_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  A48_INLINE void store_first(float* p, int n) const { _mm512_mask_storeu_ps(p, mask_of(n), v); }

  static A48_INLINE __mmask16 mask_of(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
};

A48_INLINE Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
A48_INLINE Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
A48_INLINE Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
A48_INLINE Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
A48_INLINE Vector maximum(Vector a, Vector b) { return {_mm512_max_ps(a.v, b.v)}; }

/// exp_f32 in each lane.
A48_INLINE Vector exp_f32(Vector x) {
  using namespace exp_parts;
  // max and min return their second operand when one is NaN.
  __m512 c = _mm512_max_ps(_mm512_set1_ps(kLowest), x.v);
  c = _mm512_min_ps(_mm512_set1_ps(kHighest), c);
  const __m512 shift = _mm512_set1_ps(kRoundingShift);
  const __m512 shifted = _mm512_add_ps(_mm512_mul_ps(c, _mm512_set1_ps(kLog2E)), shift);
  const __m512 n = _mm512_sub_ps(shifted, shift);
  const __m512 r = _mm512_sub_ps(_mm512_sub_ps(c, _mm512_mul_ps(n, _mm512_set1_ps(kLn2High))),
                                 _mm512_mul_ps(n, _mm512_set1_ps(kLn2Low)));
  __m512 q = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(kQ4), r), _mm512_set1_ps(kQ3));
  q = _mm512_add_ps(_mm512_mul_ps(q, r), _mm512_set1_ps(kQ2));
  q = _mm512_add_ps(_mm512_mul_ps(q, r), _mm512_set1_ps(kQ1));
  q = _mm512_add_ps(_mm512_mul_ps(q, r), _mm512_set1_ps(kQ0));
  const __m512 mantissa =
      _mm512_add_ps(_mm512_set1_ps(1.0f), _mm512_add_ps(r, _mm512_mul_ps(_mm512_mul_ps(r, r), q)));
  const __m512i exponent =
      _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(static_cast<int>(kRoundingShiftBits)));
  const __m512i first = _mm512_srai_epi32(exponent, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512i first_bits = _mm512_slli_epi32(_mm512_add_epi32(first, bias), 23);
  const __m512i second_bits =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(exponent, first), bias), 23);
  return {_mm512_mul_ps(_mm512_mul_ps(mantissa, _mm512_castsi512_ps(first_bits)),
                        _mm512_castsi512_ps(second_bits))};
}

A48_INLINE float largest_lane(Vector x) { return _mm512_reduce_max_ps(x.v); }

/// Lane i of the result: the lanes of row[i] added as E1 does, l += l+8, +4, +2, +1. Every step adds two
/// rows' halves at once.
A48_INLINE Vector sum_each(const Vector (&row)[16]) {
  const auto add_8 = [](Vector a, Vector b) {  // blocks of 4 lanes: a0+a2 a1+a3 b0+b2 b1+b3
    return _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44), _mm512_shuffle_f32x4(a.v, b.v, 0xEE));
  };
  const auto add_4 = [](__m512 ab, __m512 cd) {  // blocks: a b c d
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
  };
  const auto four = [&](int i) { return add_4(add_8(row[i], row[i + 4]), add_8(row[i + 8], row[i + 12])); };
  const auto add_2 = [](__m512 p, __m512 q) {  // in each block: p.01 + p.23, q.01 + q.23
    const __m512d a = _mm512_castps_pd(p), b = _mm512_castps_pd(q);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  };
  const __m512 r = add_2(four(0), four(1)), s = add_2(four(2), four(3));
  return {_mm512_add_ps(_mm512_shuffle_ps(r, s, 0x88), _mm512_shuffle_ps(r, s, 0xDD))};
}

}  // namespace
}  // namespace a48::kernels::cpu
