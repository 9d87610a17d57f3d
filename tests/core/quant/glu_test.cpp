// The gated activations against their formulas in double, and their derivatives against differences.
#include "core/quant/glu.h"

#include <cmath>

#include "core/base/rng.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

double relu2(double gate, double up) { return gate <= 0 ? 0.0 : gate * gate * up; }
double silu(double gate, double up) { return gate / (1 + std::exp(-gate)) * up; }

// exp_f32 is within 2 ulp, which are up to 4 units of roundoff; a handful of operations follow.
double silu_tolerance(double magnitude) { return chain_tolerance(4 + 8, magnitude); }

}  // namespace

TEST_CASE("relu2 and silu follow their formulas") {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const float gate = static_cast<float>(3 * random_normal(seed(), 1, i)),
                up = static_cast<float>(random_normal(seed(), 2, i));
    const double square = relu2(gate, up), smooth = silu(gate, up);
    CHECK(std::abs(quant::relu2_glu(gate, up) - square) <= chain_tolerance(2, square));
    CHECK(std::abs(quant::silu_glu(gate, up) - smooth) <= silu_tolerance(smooth));
  }
  CHECK(quant::silu_glu(-1000.0f, 1.0f) == 0.0f);
  CHECK(quant::silu_glu(1000.0f, 2.0f) == 2000.0f);
}

TEST_CASE("the gradients equal differences of the formulas in double") {
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const float gate = static_cast<float>(2 * random_normal(seed(), 1, i)),
                up = static_cast<float>(random_normal(seed(), 2, i));
    const float dy = static_cast<float>(random_normal(seed(), 3, i));
    const auto check = [&](auto function, quant::GluGradient found) {
      const double h = kDifferenceStep, g = gate, u = up;
      const double dgate = dy * (function(g + h, u) - function(g - h, u)) / (2 * h);
      const double dup = dy * (function(g, u + h) - function(g, u - h)) / (2 * h);
      const double scale = std::abs(dy) * (1 + std::abs(u)) * (1 + g * g) * 4;
      CHECK(std::abs(found.gate - dgate) <= difference_tolerance(scale) + silu_tolerance(scale));
      CHECK(std::abs(found.up - dup) <= difference_tolerance(scale) + silu_tolerance(scale));
    };
    if (std::abs(gate) > 2 * kDifferenceStep) check(relu2, quant::relu2_glu_gradient(gate, up, dy));
    check(silu, quant::silu_glu_gradient(gate, up, dy));
  }
}

}  // namespace a48::test
