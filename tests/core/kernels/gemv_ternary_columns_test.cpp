// Inputs with code 0 are not read: the same bits as reading them, whatever the share of zeros, and whatever
// the columns of the others hold.
#include "tests/core/kernels/ternary_test.h"

namespace a48::test {
namespace {

using quant::Scheme;
using quant::TernaryLayout;

}  // namespace

TEST_CASE("check 12, X3: leaving out zero inputs equals the product that reads all, for every density") {
  for (const std::int64_t inputs : {1, 7, 300, 1024}) {
    for (const std::int64_t outputs : {1, 128, 700}) {
      const PackedMatrix columns(TernaryLayout::t2_col, outputs, inputs),
          rows(TernaryLayout::t2_row4, outputs, inputs);
      for (const double density : {0.0, 0.1, 0.19, 0.5, 0.9, 1.0}) {
        const Token token = Token::random(inputs, Scheme::int8, density);
        INFO(inputs << " x " << outputs << ", density " << density);
        on_every_level([&] { CHECK(first_difference(product(columns, token), product(rows, token)) == ""); },
                       inputs == 1024 ? 4 : 1);
      }
    }
  }
}

TEST_CASE("the columns of zero inputs may hold anything") {
  PackedMatrix matrix(TernaryLayout::t2_col, 300, 101);
  const Token token = Token::random(101, Scheme::int8, 0.4);
  const std::vector<float> expected = expected_product(matrix, token);
  const Rows<std::uint8_t> packed = matrix.packed.rows(101, quant::t2_row_bytes(300));
  for (std::int64_t k = 0; k < 101; ++k)
    if (token.codes[k] == 0) std::fill_n(packed.row(k), packed.cols, std::uint8_t{0xFF});
  on_every_level([&] { CHECK(first_difference(product(matrix, token), expected) == ""); });
}

}  // namespace a48::test
