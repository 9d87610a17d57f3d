// Kernel-internal: the interface of rows_avx2.h, which says what each piece is, in AVX-512 registers.
#pragma once

#include <cstring>

#include "core/kernels/cpu/vector_avx512.h"
// Uses the Vector above.
#include "core/kernels/cpu/row_blocks.h"

namespace a48::kernels::cpu {
namespace {

struct Integers {
  __m512i v;
  static A48_INLINE Integers zero() { return {_mm512_setzero_si512()}; }
  static A48_INLINE Integers broadcast(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
};

A48_INLINE Integers operator+(Integers a, Integers b) { return {_mm512_add_epi32(a.v, b.v)}; }
A48_INLINE Integers maximum(Integers a, Integers b) { return {_mm512_max_epi32(a.v, b.v)}; }

A48_INLINE Vector magnitude(Vector x) { return {_mm512_abs_ps(x.v)}; }
A48_INLINE Integers bits_of_magnitude(Vector x) { return {_mm512_castps_si512(magnitude(x).v)}; }

A48_INLINE Integers count_above(Integers count, Integers bits, Integers cut) {
  return {
      _mm512_mask_add_epi32(count.v, _mm512_cmpgt_epi32_mask(bits.v, cut.v), count.v, _mm512_set1_epi32(1))};
}
A48_INLINE Integers keep_above(Integers code, Integers bits, Integers cut) {
  return {_mm512_maskz_mov_epi32(_mm512_cmpgt_epi32_mask(bits.v, cut.v), code.v)};
}

A48_INLINE Integers integer_code(Vector product, Vector low, Vector high) {
  return {_mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(product.v, low.v), high.v))};
}

A48_INLINE Integers grid_code(Vector product) {
  const __m512 y = _mm512_min_ps(magnitude(product).v, _mm512_set1_ps(6.0f));
  const __m512i fine = _mm512_cvtps_epi32(_mm512_add_ps(y, y));
  const __m512i middle = _mm512_slli_epi32(_mm512_cvtps_epi32(y), 1);
  const __m512i coarse = _mm512_slli_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(y, _mm512_set1_ps(0.5f))), 2);
  const __mmask16 below2 = _mm512_cmp_ps_mask(y, _mm512_set1_ps(2.0f), _CMP_LT_OQ);
  const __mmask16 below4 = _mm512_cmp_ps_mask(y, _mm512_set1_ps(4.0f), _CMP_LT_OQ);
  const __m512i doubled = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(coarse, below4, middle), below2, fine);
  const __mmask16 below0 = _mm512_movepi32_mask(_mm512_castps_si512(product.v));
  return {_mm512_mask_sub_epi32(doubled, below0, _mm512_setzero_si512(), doubled)};
}

A48_INLINE void store_bytes(void* bytes, const Integers (&block)[kParts], Whole) {
  __m128i* out = static_cast<__m128i*>(bytes);
  _mm_storeu_si128(out, _mm512_cvtepi32_epi8(block[0].v));
  _mm_storeu_si128(out + 1, _mm512_cvtepi32_epi8(block[1].v));
}
A48_INLINE void store_bytes(void* bytes, const Integers (&block)[kParts], Partial extent) {
  const __m256i all = _mm256_set_m128i(_mm512_cvtepi32_epi8(block[1].v), _mm512_cvtepi32_epi8(block[0].v));
  _mm256_mask_storeu_epi8(bytes, (1u << extent.count) - 1u, all);
}

// The reductions go through AVX2: GCC's own reduce functions do too.
A48_INLINE std::int32_t sum_of(Integers x) {
  const __m256i by8 = _mm256_add_epi32(_mm512_castsi512_si256(x.v), _mm512_extracti64x4_epi64(x.v, 1));
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
A48_INLINE std::int32_t largest_of(Integers x) {
  const __m256i by8 = _mm256_max_epi32(_mm512_castsi512_si256(x.v), _mm512_extracti64x4_epi64(x.v, 1));
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

/// Lanes 8i … 8i+7 in lane[i].
struct DoubleLanes {
  __m512d lane[4];

  static A48_INLINE DoubleLanes zero() {
    DoubleLanes sum;
    for (__m512d& lane : sum.lane) lane = _mm512_setzero_pd();
    return sum;
  }
  A48_INLINE void add(int part, Vector x) {
    lane[2 * part] = _mm512_add_pd(lane[2 * part], low(x));
    lane[2 * part + 1] = _mm512_add_pd(lane[2 * part + 1], high(x));
  }
  A48_INLINE void add_square(int part, Vector x) {
    lane[2 * part] = _mm512_fmadd_pd(low(x), low(x), lane[2 * part]);
    lane[2 * part + 1] = _mm512_fmadd_pd(high(x), high(x), lane[2 * part + 1]);
  }
  A48_INLINE double fold() const {
    const __m512d by8 = _mm512_add_pd(_mm512_add_pd(lane[0], lane[2]), _mm512_add_pd(lane[1], lane[3]));
    const __m256d by4 = _mm256_add_pd(_mm512_castpd512_pd256(by8), _mm512_extractf64x4_pd(by8, 1));
    const __m128d by2 = _mm_add_pd(_mm256_castpd256_pd128(by4), _mm256_extractf128_pd(by4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(by2, _mm_unpackhi_pd(by2, by2)));
  }

  static A48_INLINE __m512d low(Vector x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x.v)); }
  static A48_INLINE __m512d high(Vector x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1)); }
};

A48_INLINE float fold(const Block& sum) {
  const __m512 by16 = _mm512_add_ps(sum.part[0].v, sum.part[1].v);
  const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(by16), _mm512_extractf32x8_ps(by16, 1));
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}

A48_INLINE Vector operator/(Vector a, Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
A48_INLINE Vector gated(Vector gate, Vector y) {
  return {_mm512_mask_mov_ps(y.v, _mm512_cmp_ps_mask(gate.v, _mm512_setzero_ps(), _CMP_LE_OQ),
                             _mm512_setzero_ps())};
}
A48_INLINE Vector negative(Vector x) { return {_mm512_xor_ps(x.v, _mm512_set1_ps(-0.0f))}; }

}  // namespace
}  // namespace a48::kernels::cpu
