// glu_rows and glu_backward_rows on every level: bits of the reference, and the rule for gates that are not
// positive.
#include <cmath>
#include <limits>

#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

using kernels::GluKind;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("both gated activations and their derivatives equal the reference on every level") {
  for (const std::int64_t width : kRowWidths) {
    const Matrix<float> gate = matrix_of_all_kinds(width), up = matrix_of_all_kinds(width, 1),
                        dy = matrix_of_all_kinds(width, 2);
    const std::int64_t rows = gate.view().rows;
    for (const GluKind kind : {GluKind::relu2, GluKind::silu}) {
      Matrix<float> expected(rows, width), expected_dgate(rows, width), expected_dup(rows, width);
      if (kind == GluKind::relu2) {
        quant::reference_relu2_glu_rows(gate.view(), up.view(), expected.view());
        quant::reference_relu2_glu_backward_rows(gate.view(), up.view(), dy.view(), expected_dgate.view(),
                                                 expected_dup.view());
      } else {
        quant::reference_silu_glu_rows(gate.view(), up.view(), expected.view());
        quant::reference_silu_glu_backward_rows(gate.view(), up.view(), dy.view(), expected_dgate.view(),
                                                expected_dup.view());
      }
      INFO("width " << width << (kind == GluKind::relu2 ? ", relu2" : ", silu"));
      on_every_level(
          [&] {
            Matrix<float> y(rows, width), dgate(rows, width), dup(rows, width);
            kernels::glu_rows({kind, gate.view(), up.view(), y.view()});
            kernels::glu_backward_rows({kind, gate.view(), up.view(), dy.view(), dgate.view(), dup.view()});
            CHECK(first_difference(y, expected) == "");
            CHECK(first_difference(dgate, expected_dgate) == "");
            CHECK(first_difference(dup, expected_dup) == "");
          },
          width > 1000 ? 4 : 1);
    }
  }
}

TEST_CASE(
    "relu2 gives +0 wherever the gate is not positive, whatever up is, and a NaN gate stays NaN, on every "
    "level") {
  const std::vector<float> gates{-1.0f, -0.0f, 0.0f, -kInfinity, -1e-40f}, ups{-3.0f, kInfinity, kNan, 0.0f};
  const std::int64_t width = static_cast<std::int64_t>(gates.size() * ups.size()) + 1;
  Matrix<float> gate(1, width), up(1, width), dy(1, width);
  for (std::int64_t k = 0; k + 1 < width; ++k) {
    gate.row(0)[k] = gates[static_cast<std::size_t>(k) % gates.size()];
    up.row(0)[k] = ups[static_cast<std::size_t>(k) / gates.size()];
    dy.row(0)[k] = -2.0f;
  }
  gate.row(0)[width - 1] = kNan;
  up.row(0)[width - 1] = dy.row(0)[width - 1] = 1.0f;
  on_every_level(
      [&] {
        Matrix<float> y(1, width), dgate(1, width), dup(1, width);
        kernels::glu_rows({GluKind::relu2, gate.view(), up.view(), y.view()});
        kernels::glu_backward_rows(
            {GluKind::relu2, gate.view(), up.view(), dy.view(), dgate.view(), dup.view()});
        for (std::int64_t k = 0; k + 1 < width; ++k) {
          CHECK(same_bits(y.row(0)[k], 0.0f));
          CHECK(same_bits(dgate.row(0)[k], 0.0f));
          CHECK(same_bits(dup.row(0)[k], 0.0f));
        }
        CHECK(std::isnan(y.row(0)[width - 1]));
      },
      1);
}

}  // namespace a48::test
