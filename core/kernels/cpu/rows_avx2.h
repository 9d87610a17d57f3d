// Kernel-internal: what the row operations need beyond vector_avx2.h: magnitudes as integers, codes, and the
// 32 lanes of an fp64 sum. rows_avx512.h has the same interface, so that quantize_rows_body.h and
// rms_norm_rows_body.h are written once.
#pragma once

#include <cstring>

#include "core/kernels/cpu/vector_avx2.h"
// Uses the Vector above.
#include "core/kernels/cpu/row_blocks.h"

namespace a48::kernels::cpu {
namespace {

/// One 32-bit integer for each lane of a Vector.
struct Integers {
  __m256i v;
  static A48_INLINE Integers zero() { return {_mm256_setzero_si256()}; }
  static A48_INLINE Integers broadcast(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
};

A48_INLINE Integers operator+(Integers a, Integers b) { return {_mm256_add_epi32(a.v, b.v)}; }
A48_INLINE Integers maximum(Integers a, Integers b) { return {_mm256_max_epi32(a.v, b.v)}; }

A48_INLINE Vector magnitude(Vector x) {
  return {_mm256_and_ps(x.v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)))};
}
/// Bits of |x|: non-negative as signed integers too.
A48_INLINE Integers bits_of_magnitude(Vector x) { return {_mm256_castps_si256(magnitude(x).v)}; }

/// count + 1 where bits > cut.
A48_INLINE Integers count_above(Integers count, Integers bits, Integers cut) {
  return {_mm256_sub_epi32(count.v, _mm256_cmpgt_epi32(bits.v, cut.v))};
}
/// code where bits > cut, else 0.
A48_INLINE Integers keep_above(Integers code, Integers bits, Integers cut) {
  return {_mm256_and_si256(code.v, _mm256_cmpgt_epi32(bits.v, cut.v))};
}

/// rne(clamp(product)): the bounds are integers, so clipping may come before rounding.
A48_INLINE Integers integer_code(Vector product, Vector low, Vector high) {
  return {_mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(product.v, low.v), high.v))};
}

/// The doubled FP4 grid 0 1 2 3 4 | 6 8 | 12 is rne(2y) below 2, 2·rne(y) below 4, 4·rne(y/2) up to 6: the
/// bounds of numerics.md 2.1 are the ties of those roundings, and the even index is the even integer.
A48_INLINE Integers grid_code(Vector product) {
  const __m256 y = _mm256_min_ps(magnitude(product).v, _mm256_set1_ps(6.0f));
  const __m256i fine = _mm256_cvtps_epi32(_mm256_add_ps(y, y));
  const __m256i middle = _mm256_slli_epi32(_mm256_cvtps_epi32(y), 1);
  const __m256i coarse = _mm256_slli_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(y, _mm256_set1_ps(0.5f))), 2);
  const __m256i below2 = _mm256_castps_si256(_mm256_cmp_ps(y, _mm256_set1_ps(2.0f), _CMP_LT_OQ));
  const __m256i below4 = _mm256_castps_si256(_mm256_cmp_ps(y, _mm256_set1_ps(4.0f), _CMP_LT_OQ));
  const __m256i doubled = _mm256_blendv_epi8(_mm256_blendv_epi8(coarse, middle, below4), fine, below2);
  return {_mm256_sign_epi32(doubled, _mm256_castps_si256(product.v))};
}

/// The block's integers, in order, as bytes.
A48_INLINE __m256i to_bytes(const Integers (&block)[kParts]) {
  const __m256i low = _mm256_packs_epi32(block[0].v, block[1].v);
  const __m256i high = _mm256_packs_epi32(block[2].v, block[3].v);
  const __m256i order =
      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes the packing within 128-bit halves
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}
A48_INLINE void store_bytes(void* bytes, const Integers (&block)[kParts], Whole) {
  _mm256_storeu_si256(static_cast<__m256i*>(bytes), to_bytes(block));
}
A48_INLINE void store_bytes(void* bytes, const Integers (&block)[kParts], Partial extent) {
  alignas(32) unsigned char all[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all), to_bytes(block));
  std::memcpy(bytes, all, static_cast<std::size_t>(extent.count));
}

A48_INLINE std::int32_t sum_of(Integers x) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x.v), _mm256_extracti128_si256(x.v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
A48_INLINE std::int32_t largest_of(Integers x) {
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(x.v), _mm256_extracti128_si256(x.v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

/// The 32 accumulators of an fp64 lane sum: lanes 4i … 4i+3 in lane[i].
struct DoubleLanes {
  __m256d lane[8];

  static A48_INLINE DoubleLanes zero() {
    DoubleLanes sum;
    for (__m256d& lane : sum.lane) lane = _mm256_setzero_pd();
    return sum;
  }
  A48_INLINE void add(int part, Vector x) {
    lane[2 * part] = _mm256_add_pd(lane[2 * part], low(x));
    lane[2 * part + 1] = _mm256_add_pd(lane[2 * part + 1], high(x));
  }
  /// The square of a float is exact in fp64, so a fused multiply-add rounds as often as a product and a sum:
  /// once.
  A48_INLINE void add_square(int part, Vector x) {
    lane[2 * part] = _mm256_fmadd_pd(low(x), low(x), lane[2 * part]);
    lane[2 * part + 1] = _mm256_fmadd_pd(high(x), high(x), lane[2 * part + 1]);
  }
  /// Lane l += lane l+16, +8, +4, +2, +1.
  A48_INLINE double fold() const {
    const auto by16 = [this](int i) { return _mm256_add_pd(lane[i], lane[i + 4]); };
    const __m256d by4 = _mm256_add_pd(_mm256_add_pd(by16(0), by16(2)), _mm256_add_pd(by16(1), by16(3)));
    const __m128d by2 = _mm_add_pd(_mm256_castpd256_pd128(by4), _mm256_extractf128_pd(by4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(by2, _mm_unpackhi_pd(by2, by2)));
  }

  static A48_INLINE __m256d low(Vector x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x.v)); }
  static A48_INLINE __m256d high(Vector x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1)); }
};

/// fp32 lane sum: lane l += lane l+16, +8, +4, +2, +1.
A48_INLINE float fold(const Block& sum) {
  const Vector by8 = (sum.part[0] + sum.part[2]) + (sum.part[1] + sum.part[3]);
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8.v), _mm256_extractf128_ps(by8.v, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}

A48_INLINE Vector operator/(Vector a, Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
/// y, and +0 wherever gate <= 0.
A48_INLINE Vector gated(Vector gate, Vector y) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(gate.v, _mm256_setzero_ps(), _CMP_LE_OQ), y.v)};
}
A48_INLINE Vector negative(Vector x) { return {_mm256_xor_ps(x.v, _mm256_set1_ps(-0.0f))}; }

}  // namespace
}  // namespace a48::kernels::cpu
