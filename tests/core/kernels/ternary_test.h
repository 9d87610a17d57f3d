// Packed matrices and quantized tokens for the tests of the ternary products, and the product in int64 sums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/rng.h"
#include "core/kernels/api.h"
#include "core/quant/math.h"
#include "core/quant/pack.h"
#include "core/quant/reference.h"
#include "core/quant/scheme.h"
#include "tests/support/kernel_test.h"

namespace a48::test {

inline constexpr quant::TernaryLayout kLayouts[] = {
    quant::TernaryLayout::t2_row, quant::TernaryLayout::t2_col, quant::TernaryLayout::t2_row4};

/// Random or constant t, packed. The storage ends where the last stored row ends.
struct PackedMatrix {
  PackedMatrix(quant::TernaryLayout layout_, std::int64_t outputs, std::int64_t inputs,
               std::uint64_t salt = 0)
      : layout(layout_), codes(outputs * inputs) {
    for (std::int64_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::int8_t>(
          static_cast<int>(random_bits(seed(), 77 + salt, static_cast<std::uint64_t>(i)) % 3) - 1);
    pack(outputs, inputs);
  }
  static PackedMatrix constant(quant::TernaryLayout layout, std::int64_t outputs, std::int64_t inputs,
                               int t) {
    PackedMatrix matrix(layout, outputs, inputs);
    std::fill_n(matrix.codes.data(), matrix.codes.size(), static_cast<std::int8_t>(t));
    matrix.pack(outputs, inputs);
    return matrix;
  }

  void pack(std::int64_t outputs, std::int64_t inputs) {
    const std::int64_t rows = quant::stored_rows(layout, outputs, inputs);
    const std::int64_t bytes = quant::stored_row_bytes(layout, outputs, inputs);
    packed = Buffer<std::uint8_t>(rows * bytes);
    quant::reference_pack_ternary(layout, weight(outputs, inputs), packed.rows(rows, bytes));
    view = {layout, outputs, inputs, {packed.data(), rows, bytes}, 0.0371f};
  }
  Rows<const std::int8_t> weight(std::int64_t outputs, std::int64_t inputs) const {
    return {codes.data(), outputs, inputs};
  }

  quant::TernaryLayout layout;
  Buffer<std::int8_t> codes;  // [N, K]
  Buffer<std::uint8_t> packed;
  kernels::TernaryMatrix view;
};

/// The codes of one token, 0 up to a multiple of kCodePadding and not readable beyond.
struct Token {
  Token(std::int64_t inputs, quant::Scheme scheme_)
      : scheme(scheme_),
        width(inputs),
        codes((inputs + kernels::kCodePadding - 1) / kernels::kCodePadding * kernels::kCodePadding) {}

  static Token random(std::int64_t inputs, quant::Scheme scheme, double density = 1.0) {
    Token token(inputs, scheme);
    const int magnitude = quant::row_of(scheme).max_magnitude;
    const std::uint64_t choices = static_cast<std::uint64_t>(2 * magnitude + 1);
    for (std::int64_t k = 0; k < inputs; ++k) {
      const std::uint64_t bits = random_bits(seed(), 5, static_cast<std::uint64_t>(k));
      const bool kept = static_cast<double>(bits >> 40) < density * static_cast<double>(1 << 24);
      if (kept) token.codes[k] = static_cast<std::int8_t>(static_cast<int>(bits % choices) - magnitude);
    }
    return token;
  }
  static Token constant(std::int64_t inputs, quant::Scheme scheme, int code) {
    Token token(inputs, scheme);
    std::fill_n(token.codes.data(), inputs, static_cast<std::int8_t>(code));
    return token;
  }
  static Token one_hot(std::int64_t inputs, quant::Scheme scheme, std::int64_t place, int code) {
    Token token(inputs, scheme);
    token.codes[place] = static_cast<std::int8_t>(code);
    return token;
  }

  kernels::TokenCodes view() const {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < width; ++k) sum += codes[k];
    return {codes.data(), quant::row_of(scheme).max_magnitude, 0.0123f, sum};
  }

  quant::Scheme scheme;
  std::int64_t width;
  Buffer<std::int8_t> codes;
};

/// Sums in int64, then the epilogue.
inline std::vector<float> expected_product(const PackedMatrix& matrix, const Token& token) {
  const std::int64_t outputs = matrix.view.rows, inputs = matrix.view.cols;
  const kernels::TokenCodes input = token.view();
  std::vector<float> y(static_cast<std::size_t>(outputs));
  for (std::int64_t n = 0; n < outputs; ++n) {
    std::int64_t sum = 0;
    for (std::int64_t k = 0; k < inputs; ++k) sum += token.codes[k] * matrix.codes[n * inputs + k];
    y[static_cast<std::size_t>(n)] =
        quant::epilogue(static_cast<std::int32_t>(sum), input.step, matrix.view.alpha);
  }
  return y;
}

/// The one-token product of the matrix's layout, all outputs. NaN stays where nothing is written.
inline std::vector<float> product(const PackedMatrix& matrix, const Token& token) {
  const kernels::TernaryMatrix& view = matrix.view;
  std::vector<float> y(static_cast<std::size_t>(view.rows), std::nanf(""));
  float* out = y.data();
  if (matrix.layout == quant::TernaryLayout::t2_col) {
    std::vector<std::int32_t> column(static_cast<std::size_t>(view.cols + 8));
    Buffer<std::int32_t> sums(thread_count() * 4 * view.packed.cols);
    std::fill_n(sums.data(), sums.size(), -12345);
    const std::int64_t count = kernels::gemv_ternary_columns(
        {token.view(), view, column.data(), sums.rows(thread_count(), 4 * view.packed.cols), out});
    CHECK(count == token.width - std::count(token.codes.data(), token.codes.data() + token.width, 0));
  } else {
    kernels::gemv_ternary({token.view(), &view, &out, 1});
  }
  return y;
}

inline void check_product(const PackedMatrix& matrix, const Token& token, int most_threads) {
  const std::vector<float> expected = expected_product(matrix, token);
  INFO("layout " << static_cast<int>(matrix.layout) << ", " << matrix.view.rows << " x " << matrix.view.cols
                 << ", scheme " << quant::row_of(token.scheme).name);
  on_every_level([&] { CHECK(first_difference(product(matrix, token), expected) == ""); }, most_threads);
}

}  // namespace a48::test
