// One token × packed ternary matrices, on every level and for 1 to 4 threads, against sums in int64: odd
// sizes, extreme codes at the bounds of the int16 sums and at the largest K, and the same bits whichever
// layout a matrix has. Listed rows: gemv_ternary_rows_test.cpp; zero inputs: gemv_ternary_columns_test.cpp.
#include "tests/core/kernels/ternary_test.h"

namespace a48::test {
namespace {

using quant::Scheme;
using quant::TernaryLayout;

constexpr Scheme kSchemesInUse[] = {Scheme::int8, Scheme::int4, Scheme::fp4};

}  // namespace

TEST_CASE("X1, X2: one token with every layout equals sums in int64, odd inputs and outputs included") {
  constexpr std::int64_t kInputs[] = {1,   2,   31,  63,  64,  65,  127, 128,
                                      129, 255, 256, 257, 384, 385, 816, 1030};
  constexpr std::int64_t kOutputs[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 64, 130, 257, 300};
  std::size_t next = 0;
  for (const TernaryLayout layout : kLayouts) {
    for (const Scheme scheme : kSchemesInUse) {
      for (const std::int64_t inputs : kInputs) {
        const std::int64_t outputs = kOutputs[next++ % std::size(kOutputs)];
        check_product(PackedMatrix(layout, outputs, inputs, next), Token::random(inputs, scheme), 1);
      }
    }
    check_product(PackedMatrix(layout, 5460, 37), Token::random(37, Scheme::int8), 1);
    check_product(PackedMatrix(layout, 13, 2202), Token::random(2202, Scheme::int4), 1);
    check_product(PackedMatrix(layout, 7, 5460), Token::random(5460, Scheme::fp4), 1);
  }
}

TEST_CASE("X1: rows of zeros, one-hot rows and extreme codes") {
  for (const TernaryLayout layout : kLayouts) {
    for (const std::int64_t inputs : {1, 100, 816}) {
      const PackedMatrix matrix(layout, 21, inputs);
      check_product(matrix, Token(inputs, Scheme::int4), 1);
      for (const int code : {127, -127, 1}) {
        check_product(matrix, Token::constant(inputs, Scheme::int8, code), 1);
        check_product(matrix, Token::one_hot(inputs, Scheme::int8, inputs / 2, code), 1);
        check_product(matrix, Token::one_hot(inputs, Scheme::int8, inputs - 1, code), 1);
      }
      for (const int code : {-8, 7}) check_product(matrix, Token::constant(inputs, Scheme::int4, code), 1);
      for (const int code : {-12, 12}) check_product(matrix, Token::constant(inputs, Scheme::fp4, code), 1);
    }
  }
}

TEST_CASE("X3: threads do not change a product, 1 to 4 of them") {
  for (const TernaryLayout layout : kLayouts)
    for (const Scheme scheme : kSchemesInUse)
      check_product(PackedMatrix(layout, 1001, 1030), Token::random(1030, scheme), 4);
}

TEST_CASE("X2: int16 sums hold at their bounds and one register of inputs beyond (kernels 5.2)") {
  // Additions of 32 inputs after which some sum is widened.
  constexpr std::int64_t kAdditions[] = {8, 10, 12, 15, 16, 21, 32, 48, 63, 64, 91, 128, 204, 255, 682, 1023};
  struct Extreme {
    Scheme scheme;
    int code;
  };
  constexpr Extreme kExtremes[] = {{Scheme::int8, 127}, {Scheme::int8, -127}, {Scheme::int4, -8},
                                   {Scheme::int4, 7},   {Scheme::fp4, 12},    {Scheme::fp4, -12}};
  for (const TernaryLayout layout : {TernaryLayout::t2_row, TernaryLayout::t2_row4}) {
    for (const std::int64_t additions : kAdditions) {
      for (const std::int64_t times : {1, 4}) {  // a row's 128 inputs in one register, or four registers
        for (const std::int64_t more : {0, 1, 32}) {
          const std::int64_t inputs = 32 * times * additions + more;
          for (const int t : {1, -1}) {
            const PackedMatrix matrix = PackedMatrix::constant(layout, 4, inputs, t);
            for (const Extreme& extreme : kExtremes)
              check_product(matrix, Token::constant(inputs, extreme.scheme, extreme.code), 1);
          }
        }
      }
    }
  }
  for (const std::int64_t columns : {15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 257}) {
    for (const int t : {1, -1}) {
      const PackedMatrix matrix = PackedMatrix::constant(TernaryLayout::t2_col, 300, columns, t);
      for (const Extreme& extreme : kExtremes)
        check_product(matrix, Token::constant(columns, extreme.scheme, extreme.code), 1);
    }
  }
}

TEST_CASE("check 12: the largest K of a model and of a packed file, every layout, all 127 times all one") {
  for (const TernaryLayout layout : kLayouts) {
    for (const std::int64_t inputs : {11008, 1 << 17}) {
      for (const int t : {1, -1}) {
        const PackedMatrix matrix = PackedMatrix::constant(layout, 5, inputs, t);
        for (const int code : {127, -127})
          check_product(matrix, Token::constant(inputs, Scheme::int8, code), 1);
        check_product(matrix, Token::constant(inputs, Scheme::int4, -8), 1);
      }
    }
  }
}

TEST_CASE("matrices that share an input are one pass, and each has its own result") {
  const std::int64_t inputs = 816;
  const Token token = Token::random(inputs, Scheme::int4);
  const PackedMatrix q(TernaryLayout::t2_row4, 402, inputs, 1), k(TernaryLayout::t2_row4, 133, inputs, 2),
      v(TernaryLayout::t2_row, 135, inputs, 3);
  const kernels::TernaryMatrix matrix[3] = {q.view, k.view, v.view};
  on_every_level([&] {
    std::vector<float> yq(402), yk(133), yv(135);
    float* const y[3] = {yq.data(), yk.data(), yv.data()};
    kernels::gemv_ternary({token.view(), matrix, y, 3});
    CHECK(first_difference(yq, expected_product(q, token)) == "");
    CHECK(first_difference(yk, expected_product(k, token)) == "");
    CHECK(first_difference(yv, expected_product(v, token)) == "");
  });
}

TEST_CASE("payload bytes that are no ternary codes give results within bounds of memory") {
  for (const TernaryLayout layout : kLayouts) {
    PackedMatrix matrix(layout, 131, 770);
    std::fill_n(matrix.packed.data(), matrix.packed.size(), std::uint8_t{0xFF});
    for (const Scheme scheme : kSchemesInUse) {
      const Token token = Token::random(770, scheme);
      on_every_level(
          [&] {
            for (const float value : product(matrix, token)) CHECK(std::isfinite(value));
          },
          2);
    }
  }
}

}  // namespace a48::test
