// Kernel-internal: logits from I4_ROW and I6_ROW weights (core/quant/pack.h) with 256-bit registers. Lane l
// of a register is lane l of the product: four inputs of a group of 32. Codes are stored as u = q + bias, and
// Σ c·q = Σ c·u − bias·Σ c, so the sums start from −bias·Σ c, which is made once a token. A few vocabulary
// rows and tokens go side by side: their sums do not wait for each other, rows share the loads of the tokens,
// and tokens what is unpacked of the rows.
//
// The including file defines kVectorRegisters, and dot_of_four(start, u, c): start + Σ of four products u·c
// in each int32 lane, u unsigned and below 64, c signed.
#pragma once

#include <immintrin.h>

#include "core/kernels/cpu/scratch.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

/// Vocabulary rows side by side; with several tokens half of the registers hold sums.
template <int kTokens>
constexpr int kHeadRows = kTokens == 1 ? 4 : kVectorRegisters / 2 / kTokens;
constexpr std::int64_t kRowsAhead = 16;  // whose bytes are asked for meanwhile, in their order
constexpr std::int64_t kGroup = quant::kHeadGroup;

template <HeadClass kClass>
struct GroupLayout {
  static constexpr int kGroups = kClass == HeadClass::i4 ? 2 : 4;  // of a block
  static constexpr std::int64_t kBytes = kClass == HeadClass::i4 ? 32 : 96;
  static constexpr int kBias = kClass == HeadClass::i4 ? 8 : 32;
};

A48_INLINE __m256i load_32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

/// Into the second-level cache: memory likes one stream better than four, and the first level is too small
/// for what is on its way. Addresses beyond the end do no harm.
A48_INLINE void prefetch(const void* p, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) _mm_prefetch(static_cast<const char*>(p) + i, _MM_HINT_T1);
}

/// u of the groups of a block.
A48_INLINE void unpack_block(const std::uint8_t* p, __m256i (&u)[2]) {
  const __m256i low = _mm256_set1_epi8(15), bytes = load_32(p);
  u[0] = _mm256_and_si256(bytes, low);
  u[1] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low);
}
A48_INLINE void unpack_block(const std::uint8_t* p, __m256i (&u)[4]) {
  const __m256i low = _mm256_set1_epi8(15), upper = _mm256_set1_epi8(0x30);
  const __m256i a = load_32(p), b = load_32(p + 32), high = load_32(p + 64);
  const auto join = [&](__m256i nibble, __m256i two) {
    return _mm256_or_si256(_mm256_and_si256(nibble, low), _mm256_and_si256(two, upper));
  };
  u[0] = join(a, _mm256_slli_epi16(high, 4));
  u[1] = join(_mm256_srli_epi16(a, 4), _mm256_slli_epi16(high, 2));
  u[2] = join(b, high);
  u[3] = join(_mm256_srli_epi16(b, 4), _mm256_srli_epi16(high, 2));
}

/// What the products of some tokens with some rows share.
template <int kTokens>
struct TokenGroups {
  const std::int8_t* codes[kTokens];
  const std::int32_t* start;  // [kTokens, groups, 8]: −bias·Σ of four codes
  float* scale;               // [kHeadRows, groups rounded up to 8]: of the rows at work
  std::int64_t groups, scale_stride;
};

template <int kTokens>
A48_INLINE TokenGroups<kTokens> token_groups(const HeadProduct& a, std::int64_t r, int bias) {
  TokenGroups<kTokens> token;
  token.groups = quant::head_groups(a.weight.cols);
  token.scale_stride = (token.groups + 7) / 8 * 8;
  const std::int64_t starts = kTokens * token.groups * 8, scales = kHeadRows<kTokens> * token.scale_stride;
  auto* start = reinterpret_cast<std::int32_t*>(
      thread_scratch((starts + scales) * static_cast<std::int64_t>(sizeof(float))));
  token.start = start;
  token.scale = reinterpret_cast<float*>(start + starts);
  const __m256i u = _mm256_set1_epi8(static_cast<char>(bias));
  for (int t = 0; t < kTokens; ++t) {
    token.codes[t] = a.codes.row(r + t);
    for (std::int64_t g = 0; g < token.groups; ++g, start += 8) {
      const __m256i sums = dot_of_four(_mm256_setzero_si256(), u, load_32(token.codes[t] + g * kGroup));
      _mm256_store_si256(reinterpret_cast<__m256i*>(start), _mm256_sub_epi32(_mm256_setzero_si256(), sums));
    }
  }
  return token;
}

/// lanes[j][t] += products of row j and token t in the first `count` groups of block b.
template <HeadClass kClass, int kTokens>
A48_INLINE void add_block(const TokenGroups<kTokens>& token,
                          const std::uint8_t* const (&row)[kHeadRows<kTokens>], std::int64_t b, int count,
                          __m256 (&lanes)[kHeadRows<kTokens>][kTokens]) {
  using Layout = GroupLayout<kClass>;
  constexpr int kRows = kHeadRows<kTokens>;
  __m256i u[kRows][Layout::kGroups];
#pragma GCC unroll 4
  for (int j = 0; j < kRows; ++j) unpack_block(row[j] + b * Layout::kBytes, u[j]);
#pragma GCC unroll 4
  for (int i = 0; i < Layout::kGroups; ++i) {
    if (i >= count) break;
    const std::int64_t g = b * Layout::kGroups + i;
    __m256 scale[kRows];
#pragma GCC unroll 4
    for (int j = 0; j < kRows; ++j) scale[j] = _mm256_broadcast_ss(token.scale + j * token.scale_stride + g);
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      const __m256i codes = load_32(token.codes[t] + g * kGroup),
                    start = load_32(token.start + (t * token.groups + g) * 8);
#pragma GCC unroll 4
      for (int j = 0; j < kRows; ++j)
        lanes[j][t] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot_of_four(start, u[j][i], codes)), scale[j], lanes[j][t]);
    }
  }
}

/// Lane l += lane l+4, +2, +1.
A48_INLINE float sum_of_lanes(__m256 lanes) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

template <HeadClass kClass, int kTokens>
void group_scaled(const HeadProduct& a, std::int64_t r, std::int64_t begin, std::int64_t end) {
  using Layout = GroupLayout<kClass>;
  constexpr int kRows = kHeadRows<kTokens>;
  const TokenGroups<kTokens> token = token_groups<kTokens>(a, r, Layout::kBias);
  const std::int64_t whole = token.groups / Layout::kGroups;
  for (std::int64_t v = begin; v < end; v += kRows) {
    const std::uint8_t* row[kRows];
    const std::uint8_t* next = a.weight.stored.row(v + kRowsAhead);
    for (int j = 0; j < kRows; ++j) {
      const std::int64_t n = v + j < end ? v + j : end - 1;
      row[j] = a.weight.stored.row(n);
      const std::uint16_t* scale = a.weight.group_scale.row(n);
      prefetch(a.weight.group_scale.row(v + j + kRowsAhead), token.groups * 2);
      for (std::int64_t g = 0; g < token.groups; g += 8)
        _mm256_store_ps(token.scale + j * token.scale_stride + g,
                        _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scale + g))));
    }
    __m256 lanes[kRows][kTokens];
    for (auto& of_row : lanes) {
      for (__m256& lane : of_row) lane = _mm256_setzero_ps();
    }
    for (std::int64_t b = 0; b < whole; ++b) {
      prefetch(next + b * kRows * Layout::kBytes, kRows * Layout::kBytes);
      add_block<kClass, kTokens>(token, row, b, Layout::kGroups, lanes);
    }
    if (whole * Layout::kGroups < token.groups)
      add_block<kClass, kTokens>(token, row, whole, static_cast<int>(token.groups % Layout::kGroups), lanes);
    for (int j = 0; j < kRows && v + j < end; ++j) {
      for (int t = 0; t < kTokens; ++t)
        a.logits.row(r + t)[v + j] = sum_of_lanes(lanes[j][t]) * a.step[r + t];
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
