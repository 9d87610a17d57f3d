// Listed rows of a T2_ROW matrix: those rows as in the full product, no other entry of y touched.
#include "tests/core/kernels/ternary_test.h"

namespace a48::test {
namespace {

using quant::Scheme;
using quant::TernaryLayout;

/// A gate of which about `open` is positive; every kind of closed gate occurs.
std::vector<float> gate_of(std::int64_t n, double open) {
  const float closed[] = {0.0f, -0.0f, -1.5f, -1e-40f};
  std::vector<float> gate;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint64_t bits = random_bits(seed(), 9, static_cast<std::uint64_t>(i));
    const bool is_open = static_cast<double>(bits >> 11) < open * static_cast<double>(1ull << 53);
    gate.push_back(is_open ? 0.25f + static_cast<float>(bits % 7) : closed[bits % 4]);
  }
  return gate;
}

}  // namespace

TEST_CASE("check 26, X3: rows behind open gates equal the dense product for every share of zeros") {
  for (const std::int64_t inputs : {1, 100, 816, 2202}) {
    for (const Scheme scheme : {Scheme::int8, Scheme::int4, Scheme::fp4}) {
      const PackedMatrix up(TernaryLayout::t2_row, 1003, inputs);
      const Token token = Token::random(inputs, scheme);
      const std::vector<float> dense = expected_product(up, token);
      for (const double zeros : {0.0, 0.5, 0.9, 1.0}) {
        const std::vector<float> gate = gate_of(1003, 1.0 - zeros);
        std::vector<float> expected(dense);
        for (std::size_t n = 0; n < gate.size(); ++n)
          if (gate[n] <= 0.0f) expected[n] = 0.0f;
        INFO("inputs " << inputs << ", zeros " << zeros);
        on_every_level(
            [&] {
              std::vector<std::int32_t> row(1003 + 8);
              std::vector<float> y(1003, 0.0f);
              const std::int64_t count = kernels::list_positive(gate.data(), 1003, row.data());
              kernels::gemv_ternary_rows({token.view(), up.view, row.data(), count, y.data()});
              CHECK(first_difference(y, expected) == "");
            },
            inputs == 816 ? 4 : 1);
      }
    }
  }
}

TEST_CASE("entries of rows that are not listed keep what they hold") {
  const PackedMatrix up(TernaryLayout::t2_row, 40, 257);
  const Token token = Token::random(257, Scheme::int8);
  const std::vector<float> dense = expected_product(up, token);
  for (const std::vector<std::int32_t>& row :
       {std::vector<std::int32_t>{0}, {39}, {3, 4, 5}, {0, 2, 11, 12, 38}, {1, 2, 3, 4, 5, 6, 7}, {}}) {
    std::vector<float> expected(40, -7.5f);
    for (const std::int32_t n : row)
      expected[static_cast<std::size_t>(n)] = dense[static_cast<std::size_t>(n)];
    on_every_level(
        [&] {
          std::vector<float> y(40, -7.5f);
          kernels::gemv_ternary_rows(
              {token.view(), up.view, row.data(), static_cast<std::int64_t>(row.size()), y.data()});
          CHECK(first_difference(y, expected) == "");
        },
        1);
  }
}

}  // namespace a48::test
