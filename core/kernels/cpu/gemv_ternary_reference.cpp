// The `reference` level of the one-token products: sums in int64, weight by weight
// (core/quant/reference.cpp).
#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"
#include "core/quant/reference.h"

namespace a48::kernels::cpu {
namespace {

float product(const TokenCodes& input, const TernaryMatrix& matrix, std::int64_t output) {
  const std::int64_t sum =
      quant::reference_ternary_sum(input.codes, matrix.cols, matrix.layout, matrix.packed, output);
  return quant::epilogue(static_cast<std::int32_t>(sum), input.step, matrix.alpha);
}

}  // namespace

void gemv_ternary_reference(const GemvTernaryRow4& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = 4 * begin; n < 4 * end && n < args.matrix.rows; ++n)
    args.y[n] = product(args.input, args.matrix, n);
}

void gemv_ternary_rows_reference(const GemvTernaryRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t n = args.row == nullptr ? i : args.row[i];
    args.y[n] = product(args.input, args.matrix, n);
  }
}

void gemv_ternary_columns_reference(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = 0; n < 4 * args.matrix.packed.cols; ++n) {
    std::int64_t sum = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const quant::TernaryPlace place = quant::ternary_place(args.matrix.layout, n, args.column[i]);
      const std::uint8_t byte = args.matrix.packed.row(place.row)[place.byte];
      sum += args.input.codes[args.column[i]] * (quant::ternary_at(byte, place.code) + 1);
    }
    args.sums[n] = static_cast<std::int32_t>(sum);
  }
}

std::int64_t list_positive_reference(const float* x, std::int64_t n, std::int32_t* row) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < n; ++k)
    if (x[k] > 0.0f) row[count++] = static_cast<std::int32_t>(k);
  return count;
}

std::int64_t list_codes_reference(const std::int8_t* codes, std::int64_t n, std::int32_t* column) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < n; ++k)
    if (codes[k] != 0) column[count++] = static_cast<std::int32_t>(k);
  return count;
}

}  // namespace a48::kernels::cpu
