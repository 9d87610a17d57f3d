// Logits of a packed head in AVX-512 with VNNI. i8: dpbusd takes w + 128 as unsigned, and 128·Σ c is taken
// off at the end. These sums may wrap, the result is below 2^31.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx512.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kVectorRegisters = 32;

A48_INLINE __m256i dot_of_four(__m256i start, __m256i u, __m256i c) {
  return _mm256_dpbusd_epi32(start, u, c);
}

}  // namespace
}  // namespace a48::kernels::cpu

// Uses what stands above.
#include "core/kernels/cpu/packed_head_rows_groups.h"

namespace a48::kernels::cpu {
namespace {

/// Modulo 2^32; the library's reduction adds signed integers, whose overflow is undefined.
A48_INLINE std::uint32_t sum_of_integers(__m512i x) {
  const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1))));
}

/// Codes are 0 beyond the width, up to the end of a stored row.
template <int kTokens>
void row_scaled(const HeadProduct& a, std::int64_t r, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = quant::i8_row_bytes(a.weight.cols);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  const std::int8_t* codes[kTokens];
  for (int t = 0; t < kTokens; ++t) codes[t] = a.codes.row(r + t);
  for (std::int64_t v = begin; v < end; ++v) {
    const std::uint8_t* row = a.weight.stored.row(v);
    __m512i even[kTokens], odd[kTokens];
    for (int t = 0; t < kTokens; ++t) even[t] = odd[t] = _mm512_setzero_si512();
    const auto add = [&](__m512i(&sums)[kTokens], std::int64_t k) {
      const __m512i u = _mm512_xor_si512(_mm512_loadu_si512(row + k), flip);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t)
        sums[t] = _mm512_dpbusd_epi32(sums[t], u, _mm512_loadu_si512(codes[t] + k));
    };
    std::int64_t k = 0;
    for (; k + 128 <= bytes; k += 128) {
      add(even, k);
      add(odd, k + 64);
    }
    if (k < bytes) add(even, k);
    for (int t = 0; t < kTokens; ++t) {
      const auto sum = sum_of_integers(_mm512_add_epi32(even[t], odd[t])) -
                       128u * static_cast<std::uint32_t>(a.code_sum[r + t]);
      a.logits.row(r + t)[v] =
          static_cast<float>(static_cast<std::int32_t>(sum)) * (a.step[r + t] * a.weight.row_scale[v]);
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu

// Uses the Vector and the products above.
#include "core/kernels/cpu/packed_head_rows_body.h"

namespace a48::kernels::cpu {

void packed_head_rows_avx512(const HeadProduct& args, std::int64_t begin, std::int64_t end) {
  packed_head_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
