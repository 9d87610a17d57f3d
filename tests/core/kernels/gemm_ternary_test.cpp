// gemm_ternary on every level and for 1 to 4 threads against sums in int64: odd sizes, strides, extreme codes
// at the bounds of the int16 sums and at the largest K, and independence of the other rows and outputs.
#include <algorithm>
#include <utility>

#include "core/base/buffer.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"
#include "core/quant/scheme.h"
#include "tests/core/kernels/ternary_test.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

using quant::Scheme;

constexpr float kAlpha = 0.0371f;

struct Product {
  int max_magnitude;
  Matrix<std::int8_t> codes, weight;
  std::vector<float> step;
  std::vector<std::int32_t> code_sum;

  Product(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, Scheme scheme)
      : max_magnitude(quant::row_of(scheme).max_magnitude), codes(rows, inputs), weight(outputs, inputs) {
    fill(codes, max_magnitude, 1);
    fill(weight, 1, 2);
    finish();
  }
  Product(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, Scheme scheme, int code,
          int weight_code)
      : Product(rows, inputs, outputs, scheme) {
    for (std::int64_t r = 0; r < rows; ++r) std::fill_n(codes.row(r), inputs, static_cast<std::int8_t>(code));
    for (std::int64_t n = 0; n < outputs; ++n)
      std::fill_n(weight.row(n), inputs, static_cast<std::int8_t>(weight_code));
    finish();
  }

  /// Rows [begin, end) of the codes.
  kernels::GemmTernary args(Rows<float> y, std::int64_t begin, std::int64_t end) const {
    const Rows<const std::int8_t> all = codes.view();
    const Rows<const std::int8_t> part(all.row(begin), end - begin, all.cols, all.stride);
    return {part, max_magnitude, step.data() + begin, code_sum.data() + begin, weight.view(), kAlpha, y};
  }

  Matrix<float> expected() const {
    Matrix<float> y(codes.view().rows, weight.view().rows);
    for (std::int64_t r = 0; r < y.view().rows; ++r) {
      for (std::int64_t n = 0; n < y.view().cols; ++n)
        y.row(r)[n] =
            quant::epilogue(static_cast<std::int32_t>(sum(r, n)), step[static_cast<std::size_t>(r)], kAlpha);
    }
    return y;
  }

  std::int64_t sum(std::int64_t r, std::int64_t n) const {
    std::int64_t total = 0;
    for (std::int64_t k = 0; k < codes.view().cols; ++k)
      total += std::int64_t{codes.row(r)[k]} * weight.row(n)[k];
    return total;
  }

 private:
  static void fill(Matrix<std::int8_t>& matrix, int magnitude, std::uint64_t stream) {
    const std::uint64_t choices = static_cast<std::uint64_t>(2 * magnitude + 1);
    for (std::int64_t r = 0; r < matrix.view().rows; ++r) {
      for (std::int64_t k = 0; k < matrix.view().cols; ++k) {
        const std::uint64_t bits =
            random_bits(seed() + static_cast<std::uint64_t>(r), stream, static_cast<std::uint64_t>(k));
        matrix.row(r)[k] = static_cast<std::int8_t>(static_cast<int>(bits % choices) - magnitude);
      }
    }
  }

  void finish() {
    step.clear();
    code_sum.clear();
    for (std::int64_t r = 0; r < codes.view().rows; ++r) {
      std::int32_t total = 0;
      for (std::int64_t k = 0; k < codes.view().cols; ++k) total += codes.row(r)[k];
      code_sum.push_back(total);
      step.push_back(0.01f + 0.003f * static_cast<float>(r % 7));
    }
  }
};

void check_on_every_level(const Product& product, int most_threads) {
  const Matrix<float> expected = product.expected();
  const std::int64_t rows = expected.view().rows;
  INFO("rows " << rows << ", inputs " << product.codes.view().cols << ", outputs " << expected.view().cols
               << ", largest code " << product.max_magnitude);
  on_every_level(
      [&] {
        Matrix<float> y(rows, expected.view().cols);
        kernels::gemm_ternary(product.args(y.view(), 0, rows));
        CHECK(first_difference(y, expected) == "");
      },
      most_threads);
}

}  // namespace

TEST_CASE("check 12, X2: integer products equal sums in int64, odd rows, inputs and outputs included") {
  constexpr std::int64_t kInputs[] = {1, 3, 4, 5, 31, 32, 33, 64, 65, 100, 257, 384, 1030};
  constexpr std::int64_t kOutputs[] = {1, 5, 8, 15, 16, 17, 31, 63, 64, 65, 130};
  constexpr std::int64_t kRows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 31, 70};
  std::size_t next = 0;
  for (const std::int64_t rows : kRows) {
    for (const std::int64_t inputs : kInputs) {
      const std::int64_t outputs = kOutputs[next++ % std::size(kOutputs)];
      check_on_every_level(Product(rows, inputs, outputs, Scheme::int8), 1);
    }
  }
}

TEST_CASE("X3: threads do not change a product: 1 to 4 of them, tiles of several row blocks and panels") {
  check_on_every_level(Product(3, 100, 301, Scheme::int8), 4);
  check_on_every_level(Product(150, 2202, 200, Scheme::int4), 4);  // more than one block of rows
}

TEST_CASE("check 12: extreme codes at the largest K of a model, and at the largest K of an exact fp32 sum") {
  struct Extreme {
    Scheme scheme;
    int code, weight;
  };
  constexpr Extreme kExtremes[] = {{Scheme::int8, 127, 1}, {Scheme::int8, -127, 1}, {Scheme::int8, 127, -1},
                                   {Scheme::int8, 127, 0}, {Scheme::int4, -8, 1},   {Scheme::int4, 7, -1},
                                   {Scheme::int4, -8, -1}, {Scheme::fp4, 12, 1},    {Scheme::fp4, -12, 1}};
  for (const Extreme& extreme : kExtremes) {
    for (const std::int64_t rows : {3, 10}) {
      check_on_every_level(Product(rows, 11008, 17, extreme.scheme, extreme.code, extreme.weight), 1);
      check_on_every_level(Product(rows, 132104, 2, extreme.scheme, extreme.code, extreme.weight), 1);
    }
  }
}

TEST_CASE("int16 sums hold at their bounds and one input beyond (kernels 5.2)") {
  // Inputs after which a level widens: 64, 1023, 682 additions of 4 (panels) or 32 (direct) inputs; portable:
  // 258, 4095, 2730.
  struct Bound {
    Scheme scheme;
    std::int64_t additions, portable_inputs;
  };
  constexpr Bound kBounds[] = {{Scheme::int8, 64, 258}, {Scheme::int4, 1023, 4095}, {Scheme::fp4, 682, 2730}};
  for (const Bound& bound : kBounds) {
    const int code = quant::row_of(bound.scheme).max_magnitude;
    for (const std::int64_t at : {4 * bound.additions, 32 * bound.additions, bound.portable_inputs}) {
      for (const std::int64_t inputs : {at - 1, at, at + 1, at + 32}) {
        for (const int weight : {1, -1}) {
          for (const std::int64_t rows : {1, 9}) {
            check_on_every_level(Product(rows, inputs, 3, bound.scheme, -code, weight), 1);
            if (bound.scheme != Scheme::int4)
              check_on_every_level(Product(rows, inputs, 3, bound.scheme, code, weight), 1);
          }
        }
      }
    }
  }
}

TEST_CASE("check 12: an fp32 GEMM on the codes gives the same accumulators") {
  const Product product(4, 11008, 9, Scheme::int8);
  for (std::int64_t r = 0; r < 4; ++r) {
    for (std::int64_t n = 0; n < 9; ++n) {
      float descending = 0.0f;
      for (std::int64_t k = 11008; k-- > 0;)
        descending +=
            static_cast<float>(product.codes.row(r)[k]) * static_cast<float>(product.weight.row(n)[k]);
      CHECK(descending == static_cast<float>(product.sum(r, n)));
    }
  }
}

TEST_CASE("X3: a row's result does not depend on the rows beside it, alone or in any batch") {
  const Product product(23, 384, 70, Scheme::int8);
  const Matrix<float> expected = product.expected();
  on_every_level(
      [&] {
        for (const std::int64_t batch : {1, 2, 3, 4, 5, 8, 9, 12}) {
          Matrix<float> y(23, 70);
          const Rows<float> all = y.view();
          for (std::int64_t r = 0; r < 23; r += batch) {
            const std::int64_t end = std::min<std::int64_t>(23, r + batch);
            kernels::gemm_ternary(product.args({all.row(r), end - r, 70, all.stride}, r, end));
          }
          INFO("batch " << batch);
          CHECK(first_difference(y, expected) == "");
        }
      },
      2);
}

TEST_CASE("panels and weight rows give the same product for every number of rows") {
  const Product product(12, 100, 67, Scheme::fp4);
  const Matrix<float> expected = product.expected();
  for (const IsaLevel level : kernels::present_levels()) {
    INFO("level " << isa_name(level));
    const kernels::GemmTernaryKernel& kernel = *kernels::table(level).gemm_ternary;
    Matrix<float> direct(12, 67);
    kernel.direct(product.args(direct.view(), 0, 12), 0, 67);
    CHECK(first_difference(direct, expected) == "");
    if (kernel.multiply == nullptr) continue;
    Matrix<float> packed(12, 67);
    const std::int64_t panels = (67 + kernel.panel_outputs - 1) / kernel.panel_outputs;
    Buffer<std::byte> panel(panels * kernel.panel_bytes(100));
    kernel.pack(product.weight.view(), 0, panels, panel.data());
    for (std::int64_t p = 0; p < panels; ++p)
      kernel.multiply(product.args(packed.view(), 0, 12), panel.data() + p * kernel.panel_bytes(100),
                      p * kernel.panel_outputs, 0, 12);
    CHECK(first_difference(packed, expected) == "");
  }
}

TEST_CASE("a packed matrix gives the product of its codes, in every layout, for any number of rows") {
  constexpr std::int64_t kInputs[] = {1, 4, 31, 32, 33, 64, 100, 127, 128, 129, 257, 384, 816};
  constexpr std::int64_t kOutputs[] = {1, 5, 8, 15, 16, 17, 31, 63, 64, 65, 130, 257, 300};
  std::size_t next = 0;
  for (const quant::TernaryLayout layout : kLayouts) {
    for (const std::int64_t inputs : kInputs) {
      for (const std::int64_t rows : {1, 3, 9, 70}) {
        const std::int64_t outputs = kOutputs[next++ % std::size(kOutputs)];
        const PackedMatrix matrix(layout, outputs, inputs, next);
        Product product(rows, inputs, outputs, Scheme::int8);
        for (std::int64_t n = 0; n < outputs; ++n)
          std::copy_n(matrix.codes.data() + n * inputs, inputs, product.weight.row(n));
        Matrix<float> expected = product.expected();
        INFO("layout " << static_cast<int>(layout) << ", rows " << rows << ", inputs " << inputs
                       << ", outputs " << outputs);
        on_every_level(
            [&] {
              Matrix<float> y(rows, outputs);
              kernels::GemmTernary args = product.args(y.view(), 0, rows);
              kernels::TernaryMatrix view = matrix.view;
              view.alpha = kAlpha;
              args.weight = {};
              args.packed = &view;
              kernels::gemm_ternary(args);
              CHECK(first_difference(y, expected) == "");
            },
            inputs == 816 ? 4 : 1);
      }
    }
  }
}

TEST_CASE("X3: a batch of tokens equals its tokens one by one, packed") {
  for (const quant::TernaryLayout layout : kLayouts) {
    const PackedMatrix matrix(layout, 150, 300);
    const Token token = Token::random(300, Scheme::int4);
    const std::vector<float> alone = product(matrix, token);
    const kernels::TokenCodes input = token.view();
    on_every_level(
        [&] {
          Matrix<std::int8_t> codes(5, 300);
          Matrix<float> y(5, 150);
          std::vector<float> step(5, input.step);
          std::vector<std::int32_t> code_sum(5, input.code_sum);
          for (std::int64_t r = 0; r < 5; ++r) std::copy_n(token.codes.data(), 300, codes.row(r));
          kernels::gemm_ternary({std::as_const(codes).view(),
                                 input.max_magnitude,
                                 step.data(),
                                 code_sum.data(),
                                 {},
                                 0.0f,
                                 y.view(),
                                 &matrix.view});
          for (std::int64_t r = 0; r < 5; ++r) CHECK(first_difference(y.row(r), alone.data(), 150) == "");
        },
        2);
  }
}

TEST_CASE("payload bytes that are no ternary codes stay within the panels") {
  for (const quant::TernaryLayout layout : kLayouts) {
    PackedMatrix matrix(layout, 131, 770);
    std::fill_n(matrix.packed.data(), matrix.packed.size(), std::uint8_t{0xFF});
    const Product product(6, 770, 131, Scheme::int8);
    on_every_level(
        [&] {
          Matrix<float> y(6, 131);
          kernels::GemmTernary args = product.args(y.view(), 0, 6);
          args.packed = &matrix.view;
          kernels::gemm_ternary(args);
          CHECK(y.padding_untouched());
        },
        1);
  }
}

TEST_CASE("a product of no rows touches nothing") {
  const Product product(0, 64, 16, Scheme::int8);
  Matrix<float> y(0, 16);
  on_every_level([&] { kernels::gemm_ternary(product.args(y.view(), 0, 0)); }, 1);
  CHECK(y.padding_untouched());
}

}  // namespace a48::test
