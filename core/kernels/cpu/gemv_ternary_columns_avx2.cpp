// The sums of listed T2_COL columns with maddubs (kernels.md 5.4): the bytes of two columns are interleaved
// and multiplied with their two codes. A block of columns is taken 32 bytes, that is 128 outputs, at a time,
// with the int16 sums of those outputs in registers.
#include <immintrin.h>

#include <cstring>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx2.h"
#include "core/kernels/cpu/ternary_block.h"
#include "core/quant/scheme.h"

namespace a48::kernels::cpu {
namespace {

// A block of columns, two an addition, fits int16 sums whatever the codes.
static_assert(additions_before_widening(2, quant::row_of(quant::Scheme::int8).max_magnitude) >=
              kColumnsTogether / 2);

/// Columns and their codes; an odd count is filled up with code 0.
struct Columns {
  ColumnBlock block;
  alignas(2) std::int8_t code[kColumnsTogether];

  void take(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
    gather(args.matrix.packed, args.column, begin, end, block);
    for (int i = 0; i < block.count; ++i) code[i] = args.input.codes[args.column[begin + i]];
    if (block.count % 2 != 0) {
      block.row[block.count] = block.row[0];
      code[block.count++] = 0;
    }
  }
};

/// sum[j] += the products of bit pair j.
A48_INLINE void add_pairs(Sums (&sum)[4], __m256i v, __m256i codes) {
  sum[0] = multiply_add(sum[0], bit_pair<0>(v), codes);
  sum[1] = multiply_add(sum[1], bit_pair<1>(v), codes);
  sum[2] = multiply_add(sum[2], bit_pair<2>(v), codes);
  sum[3] = multiply_add(sum[3], bit_pair<3>(v), codes);
}

A48_INLINE void add_widened(std::int32_t* sums, __m128i x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                      _mm256_add_epi32(load(sums), _mm256_cvtepi16_epi32(x)));
}

/// Adds a block's columns to all sums, and fetches the next block.
void add_block(const Columns& columns, const Columns& next, std::int64_t bytes, std::int32_t* sums) {
  for (std::int64_t offset = 0; offset < bytes; offset += 32) {
    Sums low[4] = {}, high[4] = {};  // bytes 0 … 7 and 16 … 23; bytes 8 … 15 and 24 … 31
    for (int c = 0; c < columns.block.count; c += 2) {
      std::int16_t pair;
      std::memcpy(&pair, columns.code + c, sizeof pair);
      const __m256i codes = _mm256_set1_epi16(pair);
      fetch_line(next.block, c + static_cast<int>(offset / 32 % 2), offset);
      const __m256i a = load(columns.block.row[c] + offset), b = load(columns.block.row[c + 1] + offset);
      add_pairs(low, _mm256_unpacklo_epi8(a, b), codes);
      add_pairs(high, _mm256_unpackhi_epi8(a, b), codes);
    }
    for (int j = 0; j < 4; ++j) {
      std::int32_t* outputs = sums + 4 * offset + 32 * j;
      add_widened(outputs, _mm256_castsi256_si128(__m256i(low[j])));
      add_widened(outputs + 8, _mm256_castsi256_si128(__m256i(high[j])));
      add_widened(outputs + 16, _mm256_extracti128_si256(__m256i(low[j]), 1));
      add_widened(outputs + 24, _mm256_extracti128_si256(__m256i(high[j]), 1));
    }
  }
}

}  // namespace

void gemv_ternary_columns_avx2(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;
  std::memset(args.sums, 0, static_cast<std::size_t>(4 * bytes) * sizeof(std::int32_t));
  Columns blocks[2];
  blocks[0].take(args, begin, end);
  int now = 0;
  for (std::int64_t i = begin; i < end; i += kColumnsTogether, now = 1 - now) {
    blocks[1 - now].take(args, i + kColumnsTogether, end);
    add_block(blocks[now], blocks[1 - now], bytes, args.sums);
  }
}

}  // namespace a48::kernels::cpu
