// Logits of a packed head in AVX2. i8: maddubs takes |w| and c with w's sign; 2·128·127 fits an int16.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx2.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kVectorRegisters = 16;

A48_INLINE __m256i dot_of_four(__m256i start, __m256i u, __m256i c) {
  return _mm256_add_epi32(start, _mm256_madd_epi16(_mm256_maddubs_epi16(u, c), _mm256_set1_epi16(1)));
}

}  // namespace
}  // namespace a48::kernels::cpu

// Uses what stands above.
#include "core/kernels/cpu/packed_head_rows_groups.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE std::int32_t sum_of_integers(__m256i x) {
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}

/// Codes are 0 beyond the width, up to the end of a stored row.
template <int kTokens>
void row_scaled(const HeadProduct& a, std::int64_t r, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = quant::i8_row_bytes(a.weight.cols);
  const std::int8_t* codes[kTokens];
  for (int t = 0; t < kTokens; ++t) codes[t] = a.codes.row(r + t);
  for (std::int64_t v = begin; v < end; ++v) {
    const std::uint8_t* row = a.weight.stored.row(v);
    __m256i sums[kTokens][2];
    for (auto& both : sums) both[0] = both[1] = _mm256_setzero_si256();
    for (std::int64_t k = 0; k < bytes; k += 64) {
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const __m256i weight = load_32(row + k + 32 * i), magnitude = _mm256_abs_epi8(weight);
#pragma GCC unroll 4
        for (int t = 0; t < kTokens; ++t) {
          const __m256i c = load_32(codes[t] + k + 32 * i);
          sums[t][i] = dot_of_four(sums[t][i], magnitude, _mm256_sign_epi8(c, weight));
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      const std::int32_t sum = sum_of_integers(_mm256_add_epi32(sums[t][0], sums[t][1]));
      a.logits.row(r + t)[v] = static_cast<float>(sum) * (a.step[r + t] * a.weight.row_scale[v]);
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu

// Uses the Vector and the products above.
#include "core/kernels/cpu/packed_head_rows_body.h"

namespace a48::kernels::cpu {

void packed_head_rows_avx2(const HeadProduct& args, std::int64_t begin, std::int64_t end) {
  packed_head_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
