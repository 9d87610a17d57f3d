// Kernel-internal: half of a block of 64 cached codes as one AVX2 register; the interface and its meaning are
// those of codes_portable.h.
#pragma once

#include <cstring>

#include "core/kernels/cpu/vector_avx2.h"
// Uses the Vector above.
#include "core/quant/cache.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kCodeParts = 2;

struct Codes {
  __m256i v;
};

template <int kBits>
A48_INLINE Codes load_block(const std::uint8_t* stored, int h) {
  if constexpr (kBits == 4) {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(stored));
    return {_mm256_and_si256(h == 0 ? both : _mm256_srli_epi32(both, 4), _mm256_set1_epi8(15))};
  } else {
    const __m256i low =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(stored)));
    const __m256i shift =
        h == 0 ? _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2) : _mm256_setr_epi32(4, 4, 4, 4, 6, 6, 6, 6);
    const __m256i two = _mm256_and_si256(_mm256_srlv_epi32(low, shift), _mm256_set1_epi8(3));
    // Bit p of 32 to byte p: every byte of the plane eight times, each time another of its bits.
    std::int32_t plane;
    std::memcpy(&plane, stored + 16 + 4 * h, sizeof plane);
    const __m256i each = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2,
                                          2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(plane), each);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return {_mm256_or_si256(two, _mm256_and_si256(set, _mm256_set1_epi8(4)))};
  }
}

template <int kBits>
A48_INLINE Codes load_rest(const std::uint8_t* stored, int groups, int h) {
  constexpr std::uint64_t kEach = kBits == 4 ? 0x0f0f0f0f0f0f0f0full : 0x0707070707070707ull;
  __m256i c = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const int g = 2 * i + h;
    if (g >= groups) break;
    std::uint32_t word;  // three bits: a byte too many, which kEach leaves out
    std::memcpy(&word, stored + kBits * g, sizeof word);
    const std::uint64_t bytes = _pdep_u64(word, kEach);
    const __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes)));
    c = _mm256_or_si256(c, _mm256_slli_epi32(lanes, 8 * i));
  }
  return {c};
}

/// A permutation looks up the low three bits of each lane; four bits become floats the long way.
template <int kBits>
A48_INLINE Vector level(const Codes& c, int r) {
  const __m256i code = _mm256_srli_epi32(c.v, 8 * r);
  if constexpr (kBits == 3) {
    return {_mm256_permutevar8x32_ps(_mm256_setr_ps(-7, -5, -3, -1, 1, 3, 5, 7), code)};
  } else {
    const __m256 x = _mm256_cvtepi32_ps(_mm256_and_si256(code, _mm256_set1_epi32(15)));
    return {_mm256_sub_ps(_mm256_add_ps(x, x), _mm256_set1_ps(15.0f))};
  }
}

struct CodeSums {
  __m256i v;
  static A48_INLINE CodeSums zero() { return {_mm256_setzero_si256()}; }
};
/// Pairs in 16 bits: 2·15·128 < 2^15.
A48_INLINE CodeSums add_products(CodeSums sums, const Codes& c, const std::int8_t* q) {
  const __m256i pairs = _mm256_maddubs_epi16(c.v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
  return {_mm256_add_epi32(sums.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
constexpr int kFolded = 2;
A48_INLINE CodeSums fold(const CodeSums (&sums)[2]) {
  return {_mm256_add_epi32(_mm256_permute2x128_si256(sums[0].v, sums[1].v, 0x20),
                           _mm256_permute2x128_si256(sums[0].v, sums[1].v, 0x31))};
}
A48_INLINE Vector total_of_each(const CodeSums (&four)[4]) {
  const auto add_2 = [](__m256i a, __m256i b) {  // in each half: a.01 + a.23, b.01 + b.23
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
  };
  const __m256 r = _mm256_castsi256_ps(add_2(four[0].v, four[1].v));
  const __m256 s = _mm256_castsi256_ps(add_2(four[2].v, four[3].v));
  const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(r, s, 0x88));
  const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(r, s, 0xDD));
  return {_mm256_cvtepi32_ps(_mm256_add_epi32(even, odd))};
}

struct LargestBits {
  __m256i v = _mm256_setzero_si256();
  A48_INLINE void take(Vector x) {
    v = _mm256_max_epu32(v, _mm256_and_si256(_mm256_castps_si256(x.v), _mm256_set1_epi32(0x7fffffff)));
  }
  A48_INLINE std::uint32_t value() const {
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1))));
  }
};

A48_INLINE Codes codes_of(const Vector (&product)[4], int low, int high) {
  const __m256 bottom = _mm256_set1_ps(static_cast<float>(low)),
               top = _mm256_set1_ps(static_cast<float>(high));
  __m256i c = _mm256_setzero_si256();
  for (int r = 3; r >= 0; --r) {
    // the bounds are integers, so clipping may come before rounding
    const __m256i code = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(product[r].v, bottom), top));
    c = _mm256_or_si256(_mm256_slli_epi32(c, 8), _mm256_and_si256(code, _mm256_set1_epi32(255)));
  }
  return {c};
}
template <int kBits>
A48_INLINE Codes levels_of(const Codes& c) {
  return {_mm256_sub_epi8(_mm256_add_epi8(c.v, c.v),
                          _mm256_set1_epi8(static_cast<char>(quant::cache_max_code(kBits))))};
}
A48_INLINE Codes all_ones() { return {_mm256_set1_epi8(1)}; }
A48_INLINE void store_bytes(const Codes& c, std::int8_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), c.v);
}

template <int kBits>
A48_INLINE void store_block(const Codes (&part)[2], std::uint8_t* stored) {
  const __m256i low = part[0].v, high = part[1].v;
  if constexpr (kBits == 4) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(stored), _mm256_or_si256(low, _mm256_slli_epi32(high, 4)));
  } else {
    const __m256i three = _mm256_set1_epi8(3);
    const __m256i half =
        _mm256_or_si256(_mm256_and_si256(low, three), _mm256_slli_epi32(_mm256_and_si256(high, three), 4));
    const __m128i two =
        _mm_or_si128(_mm256_castsi256_si128(half), _mm_slli_epi32(_mm256_extracti128_si256(half, 1), 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(stored), two);
    for (int h = 0; h < 2; ++h) {
      const int bits = _mm256_movemask_epi8(_mm256_slli_epi32(part[h].v, 5));  // bit 2 to bit 7
      std::memcpy(stored + 16 + 4 * h, &bits, sizeof bits);
    }
  }
}
template <int kBits>
A48_INLINE void store_rest(const Codes (&part)[2], int channels, std::uint8_t* stored) {
  std::uint8_t bytes[64];
  for (int h = 0; h < 2; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + 32 * h), part[h].v);
  for (int g = 0; 8 * g < channels; ++g) {
    std::uint64_t eight = 0;
    for (int j = 0; j < 8 && 8 * g + j < channels; ++j)
      eight |= std::uint64_t{bytes[quant::cache_byte_of(8 * g + j)]} << 8 * j;
    const std::uint64_t word = _pext_u64(eight, kBits == 4 ? 0x0f0f0f0f0f0f0f0full : 0x0707070707070707ull);
    std::memcpy(stored + kBits * g, &word, kBits);
  }
}

A48_INLINE Vector divide(Vector a, Vector b) { return {_mm256_div_ps(a.v, b.v)}; }
A48_INLINE Vector load_f16(const quant::F16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
A48_INLINE void store_f16(Vector x, quant::F16* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace
}  // namespace a48::kernels::cpu
