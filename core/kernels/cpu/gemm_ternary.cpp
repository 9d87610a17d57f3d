// The integer GEMM in plain C++: int16 products and sums, eight a register on the least x86-64, widened to
// int32 before they can overflow. The same in instructions: gemm_ternary_avx2.cpp, gemm_ternary_avx512.cpp.
#include "core/kernels/cpu/gemm_ternary.h"

#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

// Panel: weight code of input k, output n at [k·kOutputs + n], as int16.
constexpr int kOutputs = 16;
constexpr int kRows = 4;

static_assert(additions_in_int16(quant::row_of(quant::Scheme::int8).max_magnitude) == 258);
static_assert(additions_in_int16(quant::row_of(quant::Scheme::int4).max_magnitude) == 4095);
static_assert(additions_in_int16(quant::row_of(quant::Scheme::fp4).max_magnitude) == 2730);

std::int64_t panel_bytes(std::int64_t inputs) {
  return inputs * kOutputs * static_cast<std::int64_t>(sizeof(std::int16_t));
}

void pack(Rows<const std::int8_t> weight, std::int64_t panel_begin, std::int64_t panel_end,
          std::byte* panels) {
  const std::int64_t inputs = weight.cols;
  for (std::int64_t p = panel_begin; p < panel_end; ++p) {
    auto* panel = reinterpret_cast<std::int16_t*>(panels + (p - panel_begin) * panel_bytes(inputs));
    for (int n = 0; n < kOutputs; ++n) {
      const std::int64_t output = p * kOutputs + n;
      if (output >= weight.rows) break;
      const std::int8_t* row = weight.row(output);
      for (std::int64_t k = 0; k < inputs; ++k) panel[k * kOutputs + n] = row[k];
    }
  }
}

void pack_ternary(const TernaryMatrix& matrix, std::int64_t panel_begin, std::int64_t panel_end,
                  std::byte* panels) {
  for (std::int64_t p = panel_begin; p < panel_end; ++p) {
    auto* panel = reinterpret_cast<std::int16_t*>(panels + (p - panel_begin) * panel_bytes(matrix.cols));
    for (std::int64_t k = 0; k < matrix.cols; ++k) {
      for (int n = 0; n < kOutputs && p * kOutputs + n < matrix.rows; ++n) {
        const quant::TernaryPlace place = quant::ternary_place(matrix.layout, p * kOutputs + n, k);
        panel[k * kOutputs + n] = static_cast<std::int16_t>(
            quant::ternary_at(matrix.packed.row(place.row)[place.byte], place.code));
      }
    }
  }
}

void multiply(const GemmTernary& a, const std::byte* panel, std::int64_t output_begin, std::int64_t row_begin,
              std::int64_t row_end) {
  const auto* weight = reinterpret_cast<const std::int16_t*>(panel);
  const std::int64_t inputs = a.codes.cols;
  const std::int64_t step = additions_in_int16(a.max_magnitude);
  const std::int64_t rest = a.weight.rows - output_begin;
  const int outputs = static_cast<int>(rest < kOutputs ? rest : kOutputs);
  for (std::int64_t r0 = row_begin; r0 < row_end; r0 += kRows) {
    const int rows = static_cast<int>(row_end - r0 < kRows ? row_end - r0 : kRows);
    const std::int8_t* codes[kRows];  // beyond the end: the last row again
    for (int r = 0; r < kRows; ++r) codes[r] = a.codes.row(r0 + (r < rows ? r : rows - 1));
    std::int32_t acc[kRows][kOutputs] = {};
    for (std::int64_t k0 = 0; k0 < inputs; k0 += step) {
      const std::int64_t k1 = k0 + step < inputs ? k0 + step : inputs;
      std::int16_t partial[kRows][kOutputs] = {};
      for (std::int64_t k = k0; k < k1; ++k) {
        for (int r = 0; r < kRows; ++r) {
          const std::int16_t code = codes[r][k];
          for (int n = 0; n < kOutputs; ++n)
            partial[r][n] = static_cast<std::int16_t>(partial[r][n] + code * weight[k * kOutputs + n]);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        for (int n = 0; n < kOutputs; ++n) acc[r][n] += partial[r][n];
      }
    }
    for (int r = 0; r < rows; ++r) {
      float* y = a.y.row(r0 + r) + output_begin;
      for (int n = 0; n < outputs; ++n) y[n] = quant::epilogue(acc[r][n], a.step[r0 + r], a.alpha);
    }
  }
}

void direct(const GemmTernary& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = begin; n < end; ++n) {
    const std::int8_t* weight = a.weight.row(n);
    for (std::int64_t r = 0; r < a.codes.rows; ++r) {
      const std::int8_t* codes = a.codes.row(r);
      std::int32_t acc = 0;
      for (std::int64_t k = 0; k < a.codes.cols; ++k) acc += codes[k] * weight[k];
      a.y.row(r)[n] = quant::epilogue(acc, a.step[r], a.alpha);
    }
  }
}

}  // namespace

const GemmTernaryKernel gemm_ternary_portable = {
    .direct_rows = 4,
    .direct = direct,
    .panel_outputs = kOutputs,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .pack_ternary = pack_ternary,
    .multiply = multiply,
};

}  // namespace a48::kernels::cpu
