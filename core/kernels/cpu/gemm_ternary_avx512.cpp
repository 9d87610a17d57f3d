// The integer GEMM with vpdpbusd: 64 multiply-adds an instruction, u8 weight codes t + 1 times s8 input
// codes, summed in int32. A block of 6 rows × 64 outputs holds 24 sums, 4 weight registers and one broadcast
// quad of codes in registers; each weight register serves 6 products, each broadcast 4. Sums start at −Σc of
// their row, which takes the +1 back.
#include <immintrin.h>

#include <cstring>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx512.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kLanesOfRegister = 16;
constexpr int kRegisters = 4;
constexpr int kOutputs = kRegisters * kLanesOfRegister;
constexpr int kRows = 6;

std::int64_t panel_bytes(std::int64_t inputs) { return quads(inputs) * kQuad * kOutputs; }

void pack(Rows<const std::int8_t> weight, std::int64_t panel_begin, std::int64_t panel_end,
          std::byte* panels) {
  pack_quads_avx2(weight, kOutputs, panel_begin, panel_end, panels);
}

void pack_ternary(const TernaryMatrix& matrix, std::int64_t panel_begin, std::int64_t panel_end,
                  std::byte* panels) {
  pack_ternary_quads_avx2(matrix, kOutputs, panel_begin, panel_end, panels);
}

A48_INLINE __m512i broadcast_quad(const std::int8_t* codes) {
  int quad;
  std::memcpy(&quad, codes, sizeof quad);
  return _mm512_set1_epi32(quad);
}

/// acc[r][j] += the products of `count` quads: rows of codes with the panel.
template <int kBlockRows>
A48_INLINE void add_quads(Sums (&acc)[kBlockRows][kRegisters], const std::int8_t* const (&codes)[kBlockRows],
                          const std::byte* panel, std::int64_t count) {
  for (std::int64_t q = 0; q < count; ++q) {
    __m512i weight[kRegisters];
#pragma GCC unroll 4
    for (int j = 0; j < kRegisters; ++j)
      weight[j] = _mm512_load_si512(panel + q * (kQuad * kOutputs) + j * 64);
#pragma GCC unroll 6
    for (int r = 0; r < kBlockRows; ++r) {
      const __m512i quad = broadcast_quad(codes[r] + q * kQuad);
#pragma GCC unroll 4
      for (int j = 0; j < kRegisters; ++j) acc[r][j] = multiply_add(acc[r][j], weight[j], quad);
    }
  }
}

/// y[r][n] = float(acc)·(d·α) for the first `outputs` of a block's 64.
template <int kBlockRows>
A48_INLINE void store_block(const GemmTernary& a, const Sums (&acc)[kBlockRows][kRegisters],
                            std::int64_t output_begin, std::int64_t row) {
  const std::int64_t outputs = a.weight.rows - output_begin;
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; ++r) {
    float* y = a.y.row(row + r) + output_begin;
    const __m512 scale = _mm512_set1_ps(a.step[row + r] * a.alpha);
#pragma GCC unroll 4
    for (int j = 0; j < kRegisters; ++j) {
      const __m512 result = _mm512_mul_ps(_mm512_cvtepi32_ps(__m512i(acc[r][j])), scale);
      if (outputs >= kOutputs) {
        _mm512_storeu_ps(y + j * kLanesOfRegister, result);
      } else {
        const std::int64_t left = outputs - j * kLanesOfRegister;
        const unsigned mask = left >= kLanesOfRegister ? 0xffffu : (left <= 0 ? 0u : (1u << left) - 1u);
        _mm512_mask_storeu_ps(y + j * kLanesOfRegister, static_cast<__mmask16>(mask), result);
      }
    }
  }
}

template <int kBlockRows>
void multiply_block(const GemmTernary& a, const std::byte* panel, std::int64_t output_begin,
                    std::int64_t row) {
  const std::int64_t inputs = a.codes.cols, whole = inputs / kQuad;
  const int rest = static_cast<int>(inputs % kQuad);
  const std::int8_t* codes[kBlockRows];
  Sums acc[kBlockRows][kRegisters];
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; ++r) {
    codes[r] = a.codes.row(row + r);
#pragma GCC unroll 4
    for (int j = 0; j < kRegisters; ++j)
      __builtin_prefetch(a.y.row(row + r) + output_begin + j * kLanesOfRegister, 1);
#pragma GCC unroll 4
    for (int j = 0; j < kRegisters; ++j) acc[r][j] = Sums(_mm512_set1_epi32(-a.code_sum[row + r]));
  }
  add_quads(acc, codes, panel, whole);
  if (rest != 0) {
    std::int8_t last[kBlockRows][kQuad] = {};  // the codes after the last whole quad, then zeros
    for (int r = 0; r < kBlockRows; ++r) {
      for (int i = 0; i < rest; ++i) last[r][i] = codes[r][whole * kQuad + i];
      codes[r] = last[r];
    }
    add_quads(acc, codes, panel + whole * (kQuad * kOutputs), 1);
  }
  store_block(a, acc, output_begin, row);
}

void multiply(const GemmTernary& a, const std::byte* panel, std::int64_t output_begin, std::int64_t row_begin,
              std::int64_t row_end) {
  std::int64_t r = row_begin;
  for (; r + kRows <= row_end; r += kRows) multiply_block<kRows>(a, panel, output_begin, r);
  switch (row_end - r) {
    case 5:
      return multiply_block<5>(a, panel, output_begin, r);
    case 4:
      return multiply_block<4>(a, panel, output_begin, r);
    case 3:
      return multiply_block<3>(a, panel, output_begin, r);
    case 2:
      return multiply_block<2>(a, panel, output_begin, r);
    case 1:
      return multiply_block<1>(a, panel, output_begin, r);
    default:
      return;
  }
}

/// kBlockRows rows × 16/kBlockRows outputs, inputs along the lanes. Missing rows or outputs repeat the last.
template <int kBlockRows>
void direct_block(const GemmTernary& a, std::int64_t row, int rows, std::int64_t output, int outputs) {
  constexpr int kBlockOutputs = 16 / kBlockRows;
  const std::int64_t inputs = a.codes.cols;
  const std::int8_t* codes[kBlockRows];
  const std::int8_t* weight[kBlockOutputs];
  for (int r = 0; r < kBlockRows; ++r) codes[r] = a.codes.row(row + (r < rows ? r : rows - 1));
  for (int n = 0; n < kBlockOutputs; ++n) weight[n] = a.weight.row(output + (n < outputs ? n : outputs - 1));
  const __m512i one = _mm512_set1_epi8(1);
  Sums acc[16] = {};  // [outputs, rows]
  const auto add = [&](std::int64_t k, auto load) __attribute__((always_inline)) {
    __m512i c[kBlockRows];
    for (int r = 0; r < kBlockRows; ++r) c[r] = load(codes[r] + k);
    for (int n = 0; n < kBlockOutputs; ++n) {
      const __m512i w = _mm512_add_epi8(load(weight[n] + k), one);
      for (int r = 0; r < kBlockRows; ++r)
        acc[n * kBlockRows + r] = multiply_add(acc[n * kBlockRows + r], w, c[r]);
    }
  };
  std::int64_t k = 0;
  for (; k + 64 <= inputs; k += 64) add(k, [](const std::int8_t* p) { return _mm512_loadu_si512(p); });
  if (k < inputs) {
    const __mmask64 mask = (1ull << (inputs - k)) - 1ull;
    add(k, [mask](const std::int8_t* p) { return _mm512_maskz_loadu_epi8(mask, p); });
  }
  std::int32_t sums[16];
  _mm512_storeu_si512(sums, sum_each(acc));
  for (int r = 0; r < rows; ++r) {
    const float scale = a.step[row + r] * a.alpha;
    float* y = a.y.row(row + r) + output;
    for (int n = 0; n < outputs; ++n)
      y[n] = static_cast<float>(sums[n * kBlockRows + r] - a.code_sum[row + r]) * scale;
  }
}

template <int kBlockRows>
void direct_rows(const GemmTernary& a, std::int64_t row, int rows, std::int64_t begin, std::int64_t end) {
  constexpr int kBlockOutputs = 16 / kBlockRows;
  for (std::int64_t n = begin; n < end; n += kBlockOutputs)
    direct_block<kBlockRows>(a, row, rows, n,
                             static_cast<int>(end - n < kBlockOutputs ? end - n : kBlockOutputs));
}

void direct(const GemmTernary& a, std::int64_t begin, std::int64_t end) {
  std::int64_t r = 0;
  for (; a.codes.rows - r >= 3; r += 4)
    direct_rows<4>(a, r, static_cast<int>(a.codes.rows - r < 4 ? a.codes.rows - r : 4), begin, end);
  if (a.codes.rows - r == 2) direct_rows<2>(a, r, 2, begin, end);
  if (a.codes.rows - r == 1) direct_rows<1>(a, r, 1, begin, end);
}

}  // namespace

const GemmTernaryKernel gemm_ternary_avx512 = {
    .direct_rows = 8,
    .direct = direct,
    .panel_outputs = kOutputs,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .pack_ternary = pack_ternary,
    .multiply = multiply,
};

}  // namespace a48::kernels::cpu
