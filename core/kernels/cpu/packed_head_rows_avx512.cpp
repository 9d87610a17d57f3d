// Logits of a packed head in AVX-512 with VNNI. i8: dpbusd takes w + 128 as unsigned, and 128·Σ c is taken
// off at the end. These sums may wrap, the result is below 2^31.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx512.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE __m256i dot_of_four(__m256i start, __m256i u, __m256i c) {
  return _mm256_dpbusd_epi32(start, u, c);
}

}  // namespace
}  // namespace a48::kernels::cpu

// Uses dot_of_four.
#include "core/kernels/cpu/packed_head_rows_groups.h"

namespace a48::kernels::cpu {
namespace {

/// Codes are 0 beyond the width, up to the end of a stored row.
void row_scaled(const HeadProduct& a, std::int64_t r, std::int64_t begin, std::int64_t end) {
  const std::int8_t* codes = a.codes.row(r);
  const std::int64_t bytes = quant::i8_row_bytes(a.weight.cols);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (std::int64_t v = begin; v < end; v += 2) {
    const std::uint8_t *first = a.weight.stored.row(v),
                       *second = a.weight.stored.row(v + 1 < end ? v + 1 : v);
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (std::int64_t k = 0; k < bytes; k += 64) {
      const __m512i c = _mm512_loadu_si512(codes + k);
      sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_xor_si512(_mm512_loadu_si512(first + k), flip), c);
      sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_xor_si512(_mm512_loadu_si512(second + k), flip), c);
    }
    for (int j = 0; j < 2 && v + j < end; ++j) {
      const std::uint32_t sum = static_cast<std::uint32_t>(_mm512_reduce_add_epi32(sums[j])) -
                                128u * static_cast<std::uint32_t>(a.code_sum[r]);
      a.logits.row(r)[v + j] =
          static_cast<float>(static_cast<std::int32_t>(sum)) * (a.step[r] * a.weight.row_scale[v + j]);
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
