// Kernel-internal: the 64 cached codes of a block as one AVX-512 register; the interface and its meaning are
// those of codes_portable.h.
#pragma once

#include <cstring>

#include "core/kernels/cpu/vector_avx512.h"
// Uses the Vector above.
#include "core/quant/cache.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kCodeParts = 1;

struct Codes {
  __m512i v;
};

template <int kBits>
A48_INLINE Codes load_block(const std::uint8_t* stored, int) {
  if constexpr (kBits == 4) {
    const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(stored)));
    const __m512i shift = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    return {_mm512_and_si512(_mm512_srlv_epi32(both, shift), _mm512_set1_epi8(15))};
  } else {
    const __m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(stored)));
    const __m512i shift = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
    const __m512i two = _mm512_and_si512(_mm512_srlv_epi32(low, shift), _mm512_set1_epi8(3));
    std::uint64_t high;
    std::memcpy(&high, stored + 16, sizeof high);
    return {_mm512_mask_add_epi8(two, high, two, _mm512_set1_epi8(4))};
  }
}

template <int kBits>
A48_INLINE Codes load_rest(const std::uint8_t* stored, int groups, int) {
  constexpr std::uint64_t kEach = kBits == 4 ? 0x0f0f0f0f0f0f0f0full : 0x0707070707070707ull;
  __m256i low = _mm256_setzero_si256(), high = low;  // channels 16r + (0 … 7), + (8 … 15)
#pragma GCC unroll 8
  for (int g = 0; g < 7; ++g) {
    if (g == groups) break;
    std::uint32_t word;  // three bits: a byte too many, which kEach leaves out
    std::memcpy(&word, stored + kBits * g, sizeof word);
    const std::uint64_t bytes = _pdep_u64(word, kEach);
    const __m256i lanes = _mm256_slli_epi32(
        _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes))), 8 * (g / 2));
    (g % 2 == 0 ? low : high) = _mm256_or_si256(g % 2 == 0 ? low : high, lanes);
  }
  return {_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)};
}

/// Two ways, because the units that shift and permute are few: a permutation looks up the low four bits of
/// each lane; and a code c inside the bits of a large power of two is a float 2^(e+1)·(2^m + c·2^k).
template <int kBits>
A48_INLINE Vector level(const Codes& c, int r) {
  constexpr float kFirst = static_cast<float>(-quant::cache_max_code(kBits));
  if (r == 1 || r == 2) {
    // Bit 8r is worth 2: the exponent is 24 − 8r, and the rest of the float is 2^(24 − 8r).
    const __m512i mask = _mm512_set1_epi32(quant::cache_max_code(kBits) << 8 * r);
    const __m512i power = _mm512_set1_epi32((127 + 24 - 8 * r) << 23);
    constexpr int kMaskOrThird = 0xEA;  // (a & b) | c
    const __m512 large = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(c.v, mask, power, kMaskOrThird));
    return {_mm512_sub_ps(large, _mm512_set1_ps(static_cast<float>(1 << (24 - 8 * r)) - kFirst))};
  }
  const __m512 u = _mm512_add_ps(_mm512_set1_ps(kFirst),
                                 _mm512_setr_ps(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
  return {_mm512_permutexvar_ps(r == 0 ? c.v : _mm512_srli_epi32(c.v, 24), u)};
}

struct CodeSums {
  __m512i v;
  static A48_INLINE CodeSums zero() { return {_mm512_setzero_si512()}; }
};
A48_INLINE CodeSums add_products(CodeSums sums, const Codes& c, const std::int8_t* q) {
  return {_mm512_dpbusd_epi32(sums.v, c.v, _mm512_loadu_si512(q))};
}
constexpr int kFolded = 4;
/// As sum_each of vector_avx512.h.
A48_INLINE CodeSums fold(const CodeSums (&sums)[4]) {
  const auto add_8 = [](__m512i a, __m512i b) {  // blocks of 4 lanes: a0+a2 a1+a3 b0+b2 b1+b3
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xEE));
  };
  const __m512i ab = add_8(sums[0].v, sums[1].v), cd = add_8(sums[2].v, sums[3].v);
  return {_mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xDD))};
}
A48_INLINE Vector total_of_each(const CodeSums (&four)[4]) {
  const auto add_2 = [](__m512i a, __m512i b) {  // in each block: a.01 + a.23, b.01 + b.23
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  };
  const __m512 r = _mm512_castsi512_ps(add_2(four[0].v, four[1].v));
  const __m512 s = _mm512_castsi512_ps(add_2(four[2].v, four[3].v));
  const __m512i even = _mm512_castps_si512(_mm512_shuffle_ps(r, s, 0x88));
  const __m512i odd = _mm512_castps_si512(_mm512_shuffle_ps(r, s, 0xDD));
  return {_mm512_cvtepi32_ps(_mm512_add_epi32(even, odd))};
}

struct LargestBits {
  __m512i v = _mm512_setzero_si512();
  A48_INLINE void take(Vector x) {
    v = _mm512_max_epu32(v, _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7fffffff)));
  }
  A48_INLINE std::uint32_t value() const { return _mm512_reduce_max_epu32(v); }
};

A48_INLINE Codes codes_of(const Vector (&product)[4], int low, int high) {
  const __m512 bottom = _mm512_set1_ps(static_cast<float>(low)),
               top = _mm512_set1_ps(static_cast<float>(high));
  __m512i c = _mm512_setzero_si512();
  for (int r = 3; r >= 0; --r) {
    // the bounds are integers, so clipping may come before rounding
    const __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(product[r].v, bottom), top));
    c = _mm512_or_si512(_mm512_slli_epi32(c, 8), _mm512_and_si512(code, _mm512_set1_epi32(255)));
  }
  return {c};
}
template <int kBits>
A48_INLINE Codes levels_of(const Codes& c) {
  return {_mm512_sub_epi8(_mm512_add_epi8(c.v, c.v),
                          _mm512_set1_epi8(static_cast<char>(quant::cache_max_code(kBits))))};
}
A48_INLINE Codes all_ones() { return {_mm512_set1_epi8(1)}; }
A48_INLINE void store_bytes(const Codes& c, std::int8_t* to) { _mm512_storeu_si512(to, c.v); }

template <int kBits>
A48_INLINE void store_block(const Codes (&part)[1], std::uint8_t* stored) {
  const __m256i low = _mm512_castsi512_si256(part[0].v), high = _mm512_extracti64x4_epi64(part[0].v, 1);
  if constexpr (kBits == 4) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(stored), _mm256_or_si256(low, _mm256_slli_epi32(high, 4)));
  } else {
    const __m256i three = _mm256_set1_epi8(3);
    const __m256i half =
        _mm256_or_si256(_mm256_and_si256(low, three), _mm256_slli_epi32(_mm256_and_si256(high, three), 4));
    const __m128i two =
        _mm_or_si128(_mm256_castsi256_si128(half), _mm_slli_epi32(_mm256_extracti128_si256(half, 1), 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(stored), two);
    const std::uint64_t bits = _mm512_test_epi8_mask(part[0].v, _mm512_set1_epi8(4));
    std::memcpy(stored + 16, &bits, sizeof bits);
  }
}
template <int kBits>
A48_INLINE void store_rest(const Codes (&part)[1], int channels, std::uint8_t* stored) {
  std::uint8_t bytes[64];
  _mm512_storeu_si512(bytes, part[0].v);
  for (int g = 0; 8 * g < channels; ++g) {
    std::uint64_t eight = 0;
    for (int j = 0; j < 8 && 8 * g + j < channels; ++j)
      eight |= std::uint64_t{bytes[quant::cache_byte_of(8 * g + j)]} << 8 * j;
    const std::uint64_t word = _pext_u64(eight, kBits == 4 ? 0x0f0f0f0f0f0f0f0full : 0x0707070707070707ull);
    std::memcpy(stored + kBits * g, &word, kBits);
  }
}

A48_INLINE Vector divide(Vector a, Vector b) { return {_mm512_div_ps(a.v, b.v)}; }
A48_INLINE Vector load_f16(const quant::F16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
A48_INLINE void store_f16(Vector x, quant::F16* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace
}  // namespace a48::kernels::cpu
