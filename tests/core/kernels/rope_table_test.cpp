// The rotary tables against the same angles in long double.
#include "core/kernels/rope_table.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

namespace a48::test {

TEST_CASE("E6: cos and sin of position times theta^(-2i/hd), rounded once to fp32") {
  for (const double theta : {10000.0, 500000.0}) {
    for (const std::int64_t head_dim : {2, 64, 100, 128, 136}) {
      const std::int64_t positions = 2048;
      const kernels::RopeTable table = kernels::build_rope_table(positions, head_dim, theta);
      REQUIRE(table.positions == positions);
      REQUIRE(table.half == head_dim / 2);
      REQUIRE(table.cos.size() == positions * table.half);
      double worst = 0.0;  // in units of the tolerance
      for (std::int64_t p = 0; p < positions; p += 13) {
        for (std::int64_t i = 0; i < table.half; ++i) {
          const long double exponent =
              -2.0L * static_cast<long double>(i) / static_cast<long double>(head_dim);
          const long double angle =
              static_cast<long double>(p) * powl(static_cast<long double>(theta), exponent);
          const auto check = [&](float found, long double exact) {
            // One rounding to fp32, beside the error of the fp64 angle: a few roundings of a number up to p.
            const double tolerance =
                ulp(static_cast<float>(exact)) / 2 + 4.0 * 0x1p-53 * static_cast<double>(p + 1);
            worst = std::max(
                worst, static_cast<double>(std::abs(static_cast<long double>(found) - exact)) / tolerance);
          };
          check(table.cos[p * table.half + i], cosl(angle));
          check(table.sin[p * table.half + i], sinl(angle));
        }
      }
      INFO("theta " << theta << ", head_dim " << head_dim);
      CHECK(worst <= 1.0);
    }
  }
}

TEST_CASE("position 0 is no rotation; the first pair turns by one radian a position") {
  const kernels::RopeTable table = kernels::build_rope_table(3, 64, 10000.0);
  for (std::int64_t i = 0; i < table.half; ++i) {
    CHECK(table.cos[i] == 1.0f);
    CHECK(table.sin[i] == 0.0f);
  }
  CHECK(table.cos[table.half] == static_cast<float>(std::cos(1.0)));
  CHECK(table.sin[2 * table.half] == static_cast<float>(std::sin(2.0)));
}

}  // namespace a48::test
