// One token × listed T2_ROW rows with maddubs. 32 bytes hold 128 inputs of a row; their bit pairs are moved
// down one after the other and meet codes that stay in registers while some rows are taken in turn, so that a
// row needs one register of int16 sums, widened before it can overflow.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx2.h"
#include "core/kernels/cpu/ternary_block.h"
#include "core/quant/scheme.h"

namespace a48::kernels::cpu {
namespace {

/// Pieces of 128 inputs, four additions each, before the sums of a row must be widened.
constexpr std::int64_t pieces_before_widening(int max_magnitude) {
  return additions_before_widening(2, max_magnitude) / 4;
}
static_assert(pieces_before_widening(quant::row_of(quant::Scheme::int8).max_magnitude) == 16);
static_assert(pieces_before_widening(quant::row_of(quant::Scheme::int4).max_magnitude) == 255);
static_assert(pieces_before_widening(quant::row_of(quant::Scheme::fp4).max_magnitude) == 170);

A48_INLINE Sums add_piece(Sums sums, __m256i v, const __m256i (&x)[4]) {
  const Sums low = multiply_add(multiply_add(Sums{}, bit_pair<0>(v), x[0]), bit_pair<1>(v), x[1]);
  const Sums high = multiply_add(multiply_add(Sums{}, bit_pair<2>(v), x[2]), bit_pair<3>(v), x[3]);
  return sums + (low + high);
}

A48_INLINE void load_codes(__m256i (&x)[4], const std::int8_t* codes) {
  for (int j = 0; j < 4; ++j) x[j] = load(codes + 32 * j);
}

/// sum[i] = the products of row i, spread over eight int32; fetches the next block.
void add_block(const RowBlock& block, const RowBlock& next, std::int64_t bytes, const TokenCodes& input,
               __m256i (&sum)[kRowsTogether]) {
  const std::int64_t pieces = pieces_before_widening(input.max_magnitude) / 2 * 2;
  for (int i = 0; i < block.count; ++i) sum[i] = _mm256_setzero_si256();
  for (std::int64_t b0 = 0; b0 < bytes; b0 += 32 * pieces) {
    const std::int64_t b1 = bytes - b0 < 32 * pieces ? bytes : b0 + 32 * pieces;
    Sums partial[kRowsTogether] = {};
    for (std::int64_t b = b0; b < b1; b += 64) {
      __m256i even[4], odd[4];
      load_codes(even, input.codes + 4 * b);
      load_codes(odd, input.codes + 4 * b + 128);
      for (int i = 0; i < block.count; ++i) {
        fetch_line(next, i, b);
        const Sums s = add_piece(partial[i], load(block.row[i] + b), even);
        partial[i] = add_piece(s, load(block.row[i] + b + 32), odd);
      }
    }
    for (int i = 0; i < block.count; ++i) sum[i] = _mm256_add_epi32(sum[i], widen(partial[i]));
  }
}

A48_INLINE std::int32_t sum_of(__m256i x) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

}  // namespace

void gemv_ternary_rows_avx2(const GemvTernaryRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;  // a multiple of 64
  const float scale = args.input.step * args.matrix.alpha;
  RowBlock blocks[2];
  gather(args.matrix.packed, args.row, begin, end, blocks[0]);
  int now = 0;
  for (std::int64_t first = begin; first < end; first += kRowsTogether, now = 1 - now) {
    gather(args.matrix.packed, args.row, first + kRowsTogether, end, blocks[1 - now]);
    __m256i sum[kRowsTogether];
    add_block(blocks[now], blocks[1 - now], bytes, args.input, sum);
    for (int i = 0; i < blocks[now].count; ++i) {
      const std::int64_t n = args.row == nullptr ? first + i : args.row[first + i];
      args.y[n] = static_cast<float>(sum_of(sum[i]) - args.input.code_sum) * scale;
    }
  }
}

}  // namespace a48::kernels::cpu
