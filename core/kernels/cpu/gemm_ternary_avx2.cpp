// The integer GEMM with maddubs: u8 weight codes t + 1 times s8 input codes, neighbouring products added to
// int16, then int16 sums that are widened to int32 before they can overflow: after 64 additions with INT8
// codes, 1023 with INT4, 682 with FP4 (kernels.md 5.2). Sums start at −Σc of their row, which takes the +1
// back.
#include <immintrin.h>

#include <cstring>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/quad_tile_avx2.h"
#include "core/kernels/cpu/ternary_avx2.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kLanesOfRegister = 8;  // outputs of a register: a quad of inputs each
constexpr int kRegisters = 2;
constexpr int kOutputs = kRegisters * kLanesOfRegister;
constexpr int kRows = 4;

/// Weight codes are at most 2.
constexpr int additions_before_widening(int max_magnitude) {
  return additions_before_widening(2, max_magnitude);
}
static_assert(additions_before_widening(quant::row_of(quant::Scheme::int8).max_magnitude) == 64);
static_assert(additions_before_widening(quant::row_of(quant::Scheme::int4).max_magnitude) == 1023);
static_assert(additions_before_widening(quant::row_of(quant::Scheme::fp4).max_magnitude) == 682);

std::int64_t panel_bytes(std::int64_t inputs) { return quads(inputs) * kQuad * kOutputs; }

void pack(Rows<const std::int8_t> weight, std::int64_t panel_begin, std::int64_t panel_end,
          std::byte* panels) {
  pack_quads_avx2(weight, kOutputs, panel_begin, panel_end, panels);
}

void pack_ternary(const TernaryMatrix& matrix, std::int64_t panel_begin, std::int64_t panel_end,
                  std::byte* panels) {
  pack_ternary_quads_avx2(matrix, kOutputs, panel_begin, panel_end, panels);
}

A48_INLINE void store(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }

/// The first `count` bytes at p, then zeros.
A48_INLINE __m256i load_first(const std::int8_t* p, std::int64_t count) {
  alignas(32) std::int8_t bytes[32] = {};
  std::memcpy(bytes, p, static_cast<std::size_t>(count));
  return load(bytes);
}

A48_INLINE __m256i broadcast_quad(const std::int8_t* codes) {
  int quad;
  std::memcpy(&quad, codes, sizeof quad);
  return _mm256_set1_epi32(quad);
}

/// acc[r][j] += the products of `count` quads, no more than int16 sums take: rows of codes with the panel.
template <int kBlockRows>
A48_INLINE void add_quads(__m256i (&acc)[kBlockRows][kRegisters],
                          const std::int8_t* const (&codes)[kBlockRows], const std::byte* panel,
                          std::int64_t count) {
  Sums partial[kBlockRows][kRegisters] = {};
  for (std::int64_t q = 0; q < count; ++q) {
    __m256i weight[kRegisters];
#pragma GCC unroll 2
    for (int j = 0; j < kRegisters; ++j) weight[j] = load(panel + q * (kQuad * kOutputs) + j * 32);
#pragma GCC unroll 6
    for (int r = 0; r < kBlockRows; ++r) {
      const __m256i quad = broadcast_quad(codes[r] + q * kQuad);
#pragma GCC unroll 2
      for (int j = 0; j < kRegisters; ++j) partial[r][j] = multiply_add(partial[r][j], weight[j], quad);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; ++r) {
#pragma GCC unroll 2
    for (int j = 0; j < kRegisters; ++j) acc[r][j] = _mm256_add_epi32(acc[r][j], widen(partial[r][j]));
  }
}

template <int kBlockRows>
void multiply_block(const GemmTernary& a, const std::byte* panel, std::int64_t output_begin,
                    std::int64_t row) {
  const std::int64_t inputs = a.codes.cols, whole = inputs / kQuad;
  const int rest = static_cast<int>(inputs % kQuad);
  const std::int64_t additions = additions_before_widening(a.max_magnitude);
  const std::int8_t* codes[kBlockRows];
  __m256i acc[kBlockRows][kRegisters];
  for (int r = 0; r < kBlockRows; ++r) {
    codes[r] = a.codes.row(row + r);
    for (__m256i& sum : acc[r]) sum = _mm256_set1_epi32(-a.code_sum[row + r]);
  }
  for (std::int64_t q = 0; q < whole; q += additions) {
    const std::int64_t count = whole - q < additions ? whole - q : additions;
    add_quads(acc, codes, panel + q * (kQuad * kOutputs), count);
    for (const std::int8_t*& row_codes : codes) row_codes += count * kQuad;
  }
  if (rest != 0) {
    std::int8_t last[kBlockRows][kQuad] = {};  // the codes after the last whole quad, then zeros
    for (int r = 0; r < kBlockRows; ++r) {
      for (int i = 0; i < rest; ++i) last[r][i] = codes[r][i];
      codes[r] = last[r];
    }
    add_quads(acc, codes, panel + whole * (kQuad * kOutputs), 1);
  }

  const std::int64_t outputs = a.weight.rows - output_begin;
  for (int r = 0; r < kBlockRows; ++r) {
    float* y = a.y.row(row + r) + output_begin;
    const __m256 scale = _mm256_set1_ps(a.step[row + r] * a.alpha);
    for (int j = 0; j < kRegisters; ++j) {
      const std::int64_t left = outputs - j * kLanesOfRegister;
      const __m256 result = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[r][j]), scale);
      if (left >= kLanesOfRegister) {
        _mm256_storeu_ps(y + j * kLanesOfRegister, result);
      } else if (left > 0) {
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left)),
                                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        _mm256_maskstore_ps(y + j * kLanesOfRegister, mask, result);
      }
    }
  }
}

void multiply(const GemmTernary& a, const std::byte* panel, std::int64_t output_begin, std::int64_t row_begin,
              std::int64_t row_end) {
  std::int64_t r = row_begin;
  for (; r + kRows <= row_end; r += kRows) multiply_block<kRows>(a, panel, output_begin, r);
  switch (row_end - r) {
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

/// Lane i of the result: the sum of the lanes of x[i].
A48_INLINE __m256i sum_each(const __m256i (&x)[8]) {
  const auto four = [&](int i) {
    return _mm256_hadd_epi32(_mm256_hadd_epi32(x[i], x[i + 1]), _mm256_hadd_epi32(x[i + 2], x[i + 3]));
  };
  const __m256i low = four(0), high = four(4);  // in each half: part sums of four x
  return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20),
                          _mm256_permute2x128_si256(low, high, 0x31));
}

/// kBlockRows rows × 8/kBlockRows outputs, inputs along the lanes. Missing rows or outputs repeat the last.
template <int kBlockRows>
void direct_block(const GemmTernary& a, std::int64_t row, int rows, std::int64_t output, int outputs) {
  constexpr int kBlockOutputs = 8 / kBlockRows;
  const std::int64_t inputs = a.codes.cols;
  const std::int64_t chunk = 32 * static_cast<std::int64_t>(additions_before_widening(a.max_magnitude));
  const std::int8_t* codes[kBlockRows];
  const std::int8_t* weight[kBlockOutputs];
  for (int r = 0; r < kBlockRows; ++r) codes[r] = a.codes.row(row + (r < rows ? r : rows - 1));
  for (int n = 0; n < kBlockOutputs; ++n) weight[n] = a.weight.row(output + (n < outputs ? n : outputs - 1));
  const __m256i one = _mm256_set1_epi8(1);
  __m256i acc[8];  // [outputs, rows]
  for (__m256i& sum : acc) sum = _mm256_setzero_si256();
  for (std::int64_t k0 = 0; k0 < inputs; k0 += chunk) {
    Sums partial[8] = {};
    const auto add = [&](std::int64_t k, auto get) __attribute__((always_inline)) {
      __m256i c[kBlockRows];
      for (int r = 0; r < kBlockRows; ++r) c[r] = get(codes[r] + k);
      for (int n = 0; n < kBlockOutputs; ++n) {
        const __m256i w = _mm256_add_epi8(get(weight[n] + k), one);
        for (int r = 0; r < kBlockRows; ++r)
          partial[n * kBlockRows + r] = multiply_add(partial[n * kBlockRows + r], w, c[r]);
      }
    };
    const std::int64_t k1 = k0 + chunk < inputs ? k0 + chunk : inputs;
    std::int64_t k = k0;
    for (; k + 32 <= k1; k += 32) add(k, [](const std::int8_t* p) { return load(p); });
    if (k < k1) add(k, [&](const std::int8_t* p) { return load_first(p, k1 - k); });
    for (int i = 0; i < 8; ++i) acc[i] = _mm256_add_epi32(acc[i], widen(partial[i]));
  }
  std::int32_t sums[8];
  store(sums, sum_each(acc));
  for (int r = 0; r < rows; ++r) {
    const float scale = a.step[row + r] * a.alpha;
    float* y = a.y.row(row + r) + output;
    for (int n = 0; n < outputs; ++n)
      y[n] = static_cast<float>(sums[n * kBlockRows + r] - a.code_sum[row + r]) * scale;
  }
}

template <int kBlockRows>
void direct_rows(const GemmTernary& a, std::int64_t row, int rows, std::int64_t begin, std::int64_t end) {
  constexpr int kBlockOutputs = 8 / kBlockRows;
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

/// 8 rows × 8 quads of weights, as 32 bytes a row, to 8 quads × 8 outputs at out + q·pitch.
A48_INLINE void pack_tile(const std::int8_t* weight, std::int64_t stride, std::byte* out,
                          std::int64_t pitch) {
  const __m256i one = _mm256_set1_epi8(1);
  __m256i x[8], y[8];
  for (int i = 0; i < 8; ++i) x[i] = _mm256_add_epi8(load(weight + i * stride), one);
  transpose_quads(x, y);
  for (int q = 0; q < 8; ++q) store(out + q * pitch, y[q]);
}

}  // namespace

void pack_quads_avx2(Rows<const std::int8_t> weight, std::int64_t panel_outputs, std::int64_t panel_begin,
                     std::int64_t panel_end, std::byte* panels) {
  const std::int64_t inputs = weight.cols, pitch = kQuad * panel_outputs;
  for (std::int64_t p = panel_begin; p < panel_end; ++p) {
    std::byte* panel = panels + (p - panel_begin) * quads(inputs) * pitch;
    const std::int64_t first = p * panel_outputs;
    const std::int64_t left = weight.rows - first;
    const std::int64_t outputs = left < panel_outputs ? left : panel_outputs;
    const std::int64_t tiled_outputs = outputs / 8 * 8, tiled_inputs = inputs / 32 * 32;
    // A cache line of each row at a time, so that rows a multiple of 4 KiB apart do not push each other out
    // of the cache.
    for (std::int64_t k = 0; k < tiled_inputs; k += 64) {
      for (std::int64_t n = 0; n < tiled_outputs; n += 8) {
        std::byte* out = panel + k / kQuad * pitch + n * kQuad;
        pack_tile(weight.row(first + n) + k, weight.stride, out, pitch);
        if (k + 32 < tiled_inputs)
          pack_tile(weight.row(first + n) + k + 32, weight.stride, out + 32 / kQuad * pitch, pitch);
      }
    }
    // What does not fill a tile, code by code.
    for (std::int64_t n = 0; n < outputs; ++n) {
      const std::int8_t* row = weight.row(first + n);
      for (std::int64_t k = n < tiled_outputs ? tiled_inputs : 0; k < quads(inputs) * kQuad; ++k) {
        const int code = k < inputs ? row[k] + 1 : 0;
        panel[k / kQuad * pitch + n * kQuad + k % kQuad] = static_cast<std::byte>(code);
      }
    }
  }
}

const GemmTernaryKernel gemm_ternary_avx2 = {
    .direct_rows = 4,
    .direct = direct,
    .panel_outputs = kOutputs,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .pack_ternary = pack_ternary,
    .multiply = multiply,
};

}  // namespace a48::kernels::cpu
