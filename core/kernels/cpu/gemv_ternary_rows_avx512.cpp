// One token × listed T2_ROW rows with vpdpbusd. A register of 64 bytes holds 256 inputs of a row; its bit
// pairs are moved down one after the other and meet codes that stay in registers while some rows are taken in
// turn, so that a row needs one register of sums.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx512.h"
#include "core/kernels/cpu/ternary_block.h"

namespace a48::kernels::cpu {
namespace {

/// The codes that bit pair j of 64 bytes meets: bytes b < 32 hold inputs b + 32j, bytes 32 + b those 128
/// further.
A48_INLINE __m512i codes_of_pair(const std::int8_t* codes, int j) {
  const auto half = [&](int at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + at + 32 * j));
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(128), 1);
}

/// sum[i] = the products of row i, still spread over the lanes; fetches the next block.
void add_block(const RowBlock& block, const RowBlock& next, std::int64_t bytes, const std::int8_t* codes,
               Sums (&sum)[kRowsTogether]) {
  const __m512i mask = _mm512_set1_epi8(3);
  for (int i = 0; i < kRowsTogether; ++i) sum[i] = Sums{};
  for (std::int64_t offset = 0; offset < bytes; offset += 64) {
    const __m512i x0 = codes_of_pair(codes + 4 * offset, 0), x1 = codes_of_pair(codes + 4 * offset, 1);
    const __m512i x2 = codes_of_pair(codes + 4 * offset, 2), x3 = codes_of_pair(codes + 4 * offset, 3);
    for (int i = 0; i < block.count; ++i) {
      fetch_line(next, i, offset);
      const __m512i v = _mm512_loadu_si512(block.row[i] + offset);
      Sums s = multiply_add(sum[i], _mm512_and_si512(v, mask), x0);
      s = multiply_add(s, _mm512_and_si512(_mm512_srli_epi16(v, 2), mask), x1);
      s = multiply_add(s, _mm512_and_si512(_mm512_srli_epi16(v, 4), mask), x2);
      sum[i] = multiply_add(s, _mm512_and_si512(_mm512_srli_epi16(v, 6), mask), x3);
    }
  }
}

}  // namespace

void gemv_ternary_rows_avx512(const GemvTernaryRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;  // a multiple of 64
  const __m512i code_sum = _mm512_set1_epi32(args.input.code_sum);
  const __m512 scale = _mm512_set1_ps(args.input.step * args.matrix.alpha);
  RowBlock blocks[2];
  gather(args.matrix.packed, args.row, begin, end, blocks[0]);
  int now = 0;
  for (std::int64_t first = begin; first < end; first += kRowsTogether, now = 1 - now) {
    gather(args.matrix.packed, args.row, first + kRowsTogether, end, blocks[1 - now]);
    Sums sum[kRowsTogether];
    add_block(blocks[now], blocks[1 - now], bytes, args.input.codes, sum);
    for (int i = 0; i < blocks[now].count; i += 16) {
      const __m512i totals = _mm512_sub_epi32(sum_each(sum + i), code_sum);
      float y[16];
      _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(totals), scale));
      for (int j = 0; j < 16 && i + j < blocks[now].count; ++j)
        args.y[args.row == nullptr ? first + i + j : args.row[first + i + j]] = y[j];
    }
  }
}

}  // namespace a48::kernels::cpu
