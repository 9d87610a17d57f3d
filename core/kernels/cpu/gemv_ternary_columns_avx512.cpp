// The sums of listed T2_COL columns with vpdpbusd: the bytes of four columns are interleaved, so that a lane
// holds one byte of each, and multiplied with the four codes. A block of columns is taken 64 bytes, that is
// 256 outputs, at a time, with the 16 sums of those outputs in registers. Masks and sums are those of
// gemv_ternary_avx512.cpp; the sums are brought into order once, at the end.
#include <immintrin.h>

#include <cstring>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx512.h"
#include "core/kernels/cpu/ternary_block.h"

namespace a48::kernels::cpu {
namespace {

/// Columns and their codes; a count that is no multiple of 4 is filled up with code 0.
struct Columns {
  ColumnBlock block;
  alignas(4) std::int8_t code[kColumnsTogether];

  void take(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
    gather(args.matrix.packed, args.column, begin, end, block);
    for (int i = 0; i < block.count; ++i) code[i] = args.input.codes[args.column[begin + i]];
    for (; block.count % 4 != 0; ++block.count) {
      block.row[block.count] = block.row[0];
      code[block.count] = 0;
    }
  }
};

/// sum[4·mask + piece] += the products of four columns' 64 bytes; piece p holds the bytes 16l + 4p + i, in
/// lanes 4l + i.
A48_INLINE void add_columns(Sums (&sum)[16], const std::uint8_t* const* column, std::int64_t offset,
                            __m512i codes) {
  const __m512i a = _mm512_loadu_si512(column[0] + offset), b = _mm512_loadu_si512(column[1] + offset);
  const __m512i c = _mm512_loadu_si512(column[2] + offset), d = _mm512_loadu_si512(column[3] + offset);
  const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  const __m512i piece[4] = {_mm512_unpacklo_epi16(ab_low, cd_low), _mm512_unpackhi_epi16(ab_low, cd_low),
                            _mm512_unpacklo_epi16(ab_high, cd_high), _mm512_unpackhi_epi16(ab_high, cd_high)};
#pragma GCC unroll 4
  for (int p = 0; p < 4; ++p) {
    sum[p] = multiply_add(sum[p], _mm512_and_si512(piece[p], _mm512_set1_epi8(3)), codes);
    sum[4 + p] = multiply_add(sum[4 + p], _mm512_and_si512(piece[p], _mm512_set1_epi8(15)), codes);
    sum[8 + p] = multiply_add(sum[8 + p], _mm512_and_si512(piece[p], _mm512_set1_epi8(63)), codes);
    sum[12 + p] = multiply_add(sum[12 + p], piece[p], codes);
  }
}

/// Adds a block's columns to all sums, and fetches the next block.
void add_block(const Columns& columns, const Columns& next, std::int64_t bytes, std::int32_t* sums) {
  for (std::int64_t offset = 0; offset < bytes; offset += 64) {
    std::int32_t* kept = sums + 4 * offset;
    Sums sum[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = Sums(_mm512_loadu_si512(kept + 16 * i));
    for (int c = 0; c < columns.block.count; c += 4) {
      int quad;
      std::memcpy(&quad, columns.code + c, sizeof quad);
      for (int i = 0; i < 4; ++i) fetch_line(next.block, c + i, offset);
      add_columns(sum, columns.block.row + c, offset, _mm512_set1_epi32(quad));
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(kept + 16 * i, __m512i(sum[i]));
  }
}

/// From S of [mask, piece] to r of 256 outputs in order: byte b < 32 of the 64 holds outputs b, 32 + b, 64 +
/// b, 96 + b, and byte 32 + b those 128 further.
void bring_into_order(std::int32_t* sums) {
  for (int mask = 3; mask >= 0; --mask) {
    __m512i x[4];
    for (int p = 0; p < 4; ++p) {
      x[p] = _mm512_loadu_si512(sums + 16 * (4 * mask + p));
      if (mask > 0) x[p] = _mm512_sub_epi32(x[p], _mm512_loadu_si512(sums + 16 * (4 * mask - 4 + p)));
      _mm512_storeu_si512(sums + 16 * (4 * mask + p),
                          _mm512_srai_epi32(x[p], static_cast<unsigned>(2 * mask)));
    }
  }
  std::int32_t outputs[256];
  for (int mask = 0; mask < 4; ++mask) {
    for (int p = 0; p < 4; ++p) {
      for (int l = 0; l < 4; ++l)
        std::memcpy(outputs + 128 * (l / 2) + 32 * mask + 16 * (l % 2) + 4 * p,
                    sums + 16 * (4 * mask + p) + 4 * l, 4 * sizeof(std::int32_t));
    }
  }
  std::memcpy(sums, outputs, sizeof outputs);
}

}  // namespace

void gemv_ternary_columns_avx512(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;
  std::memset(args.sums, 0, static_cast<std::size_t>(4 * bytes) * sizeof(std::int32_t));
  if (begin == end) return;
  Columns blocks[2];
  blocks[0].take(args, begin, end);
  int now = 0;
  for (std::int64_t i = begin; i < end; i += kColumnsTogether, now = 1 - now) {
    blocks[1 - now].take(args, i + kColumnsTogether, end);
    add_block(blocks[now], blocks[1 - now], bytes, args.sums);
  }
  for (std::int64_t n = 0; n < 4 * bytes; n += 256) bring_into_order(args.sums + n);
}

}  // namespace a48::kernels::cpu
