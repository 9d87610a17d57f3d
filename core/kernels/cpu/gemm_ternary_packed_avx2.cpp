// Panels of the avx2 and avx512 levels (gemm_ternary.h) straight from packed matrices, eight or sixteen
// outputs at a time. Outputs and inputs beyond the last repeat the last stored row: a panel may hold anything
// there.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/quad_tile_avx2.h"
#include "core/kernels/cpu/ternary_avx2.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE void store(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }
A48_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// Stored row i, or the last.
A48_INLINE const std::uint8_t* stored_row(const TernaryMatrix& matrix, std::int64_t i) {
  return matrix.packed.row(least(i, matrix.packed.rows - 1));
}

/// Outputs n … n+7 of T2_ROW: 32 bytes of a row are 32 quads, those of bit pair j 32·j inputs further.
void pack_row(const TernaryMatrix& matrix, std::int64_t n, std::byte* out, std::int64_t pitch) {
  const std::int64_t all = quads(matrix.cols);
  for (std::int64_t b = 0; 4 * b < matrix.cols; b += 32) {
    __m256i x[8], y[8];
    for (int i = 0; i < 8; ++i) x[i] = load(stored_row(matrix, n + i) + b);
    transpose_quads(x, y);
    const auto store_pair = [&](std::int64_t first, auto pair) {
      const int count = static_cast<int>(least(all - first, 8));
      for (int q = 0; q < count; ++q) store(out + (first + q) * pitch, pair(y[q]));
    };
    store_pair(b, [](__m256i v) { return bit_pair<0>(v); });
    store_pair(b + 8, [](__m256i v) { return bit_pair<1>(v); });
    store_pair(b + 16, [](__m256i v) { return bit_pair<2>(v); });
    store_pair(b + 24, [](__m256i v) { return bit_pair<3>(v); });
  }
}

/// Outputs n … n+7 of T2_ROW4: two stored rows, whose bit pairs are rows of bytes.
void pack_row4(const TernaryMatrix& matrix, std::int64_t n, std::byte* out, std::int64_t pitch) {
  const std::uint8_t *first = stored_row(matrix, n / 4), *second = stored_row(matrix, n / 4 + 1);
  const std::int64_t all = quads(matrix.cols);
  for (std::int64_t q0 = 0; q0 < all; q0 += 8) {
    const __m256i v = load(first + kQuad * q0), w = load(second + kQuad * q0);
    const __m256i x[8] = {bit_pair<0>(v), bit_pair<1>(v), bit_pair<2>(v), bit_pair<3>(v),
                          bit_pair<0>(w), bit_pair<1>(w), bit_pair<2>(w), bit_pair<3>(w)};
    __m256i y[8];
    transpose_quads(x, y);
    const int count = static_cast<int>(least(all - q0, 8));
    for (int q = 0; q < count; ++q) store(out + (q0 + q) * pitch, y[q]);
  }
}

/// Outputs n … n+15 of T2_COL: one bit pair of 16 bytes of each column; four columns make the quads.
void pack_col(const TernaryMatrix& matrix, std::int64_t n, std::byte* out, std::int64_t pitch) {
  const quant::T2RowPlace place = quant::t2_row_place(n);
  const __m128i shift = _mm_cvtsi32_si128(2 * place.code), mask = _mm_set1_epi8(3);
  for (std::int64_t q = 0; q < quads(matrix.cols); ++q) {
    const auto column = [&](std::int64_t i) {
      const std::uint8_t* packed = stored_row(matrix, kQuad * q + i) + place.byte;
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed));
      return _mm_and_si128(_mm_srl_epi16(v, shift), mask);
    };
    const __m128i a = column(0), b = column(1), c = column(2), d = column(3);
    const __m128i ab_low = _mm_unpacklo_epi8(a, b), ab_high = _mm_unpackhi_epi8(a, b);
    const __m128i cd_low = _mm_unpacklo_epi8(c, d), cd_high = _mm_unpackhi_epi8(c, d);
    auto* quad = reinterpret_cast<__m128i*>(out + q * pitch);
    _mm_storeu_si128(quad, _mm_unpacklo_epi16(ab_low, cd_low));
    _mm_storeu_si128(quad + 1, _mm_unpackhi_epi16(ab_low, cd_low));
    _mm_storeu_si128(quad + 2, _mm_unpacklo_epi16(ab_high, cd_high));
    _mm_storeu_si128(quad + 3, _mm_unpackhi_epi16(ab_high, cd_high));
  }
}

}  // namespace

void pack_ternary_quads_avx2(const TernaryMatrix& matrix, std::int64_t panel_outputs,
                             std::int64_t panel_begin, std::int64_t panel_end, std::byte* panels) {
  const std::int64_t pitch = kQuad * panel_outputs;
  const auto pack = matrix.layout == quant::TernaryLayout::t2_row
                        ? pack_row
                        : (matrix.layout == quant::TernaryLayout::t2_row4 ? pack_row4 : pack_col);
  const std::int64_t step = matrix.layout == quant::TernaryLayout::t2_col ? 16 : 8;
  for (std::int64_t p = panel_begin; p < panel_end; ++p) {
    std::byte* panel = panels + (p - panel_begin) * quads(matrix.cols) * pitch;
    for (std::int64_t n = 0; n < panel_outputs && p * panel_outputs + n < matrix.rows; n += step)
      pack(matrix, p * panel_outputs + n, panel + kQuad * n, pitch);
  }
}

}  // namespace a48::kernels::cpu
