// Lists of positive floats and of codes other than 0, on every level.
#include <limits>

#include "core/kernels/table.h"
#include "tests/support/kernel_test.h"

namespace a48::test {

TEST_CASE("list_positive names every x > 0 in order: zeros, minus zeros, denormals, NaN and infinities") {
  const float special[] = {0.0f,
                           -0.0f,
                           1e-45f,
                           -1e-45f,
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::nanf(""),
                           1.0f,
                           -1.0f};
  for (std::int64_t n = 0; n <= 200; ++n) {
    for (const std::uint64_t closed : {1, 2, 20}) {
      std::vector<float> x;
      std::vector<std::int32_t> expected;
      for (std::int64_t k = 0; k < n; ++k) {
        const std::uint64_t bits = random_bits(seed(), 31 + closed, static_cast<std::uint64_t>(k));
        x.push_back(bits % closed == 0 ? special[(bits >> 8) % std::size(special)] : -2.0f);
        if (x.back() > 0.0f) expected.push_back(static_cast<std::int32_t>(k));
      }
      on_every_level(
          [&] {
            std::vector<std::int32_t> row(static_cast<std::size_t>(n + 8));
            row.resize(static_cast<std::size_t>(kernels::list_positive(x.data(), n, row.data())));
            CHECK(row == expected);
          },
          1);
    }
  }
}

TEST_CASE("list_codes names every code other than 0 in order") {
  for (std::int64_t n = 0; n <= 300; ++n) {
    for (const std::uint64_t zeros : {0, 1, 9}) {
      std::vector<std::int8_t> codes;
      std::vector<std::int32_t> expected;
      for (std::int64_t k = 0; k < n; ++k) {
        const std::uint64_t bits = random_bits(seed(), 41, static_cast<std::uint64_t>(k));
        codes.push_back(
            static_cast<std::int8_t>(bits % 10 < zeros ? 0 : static_cast<int>(bits >> 8 & 255) - 128));
        if (codes.back() != 0) expected.push_back(static_cast<std::int32_t>(k));
      }
      for (const IsaLevel level : kernels::present_levels()) {
        INFO("level " << isa_name(level) << ", n " << n);
        std::vector<std::int32_t> column(static_cast<std::size_t>(n + 8));
        column.resize(
            static_cast<std::size_t>(kernels::table(level).list_codes(codes.data(), n, column.data())));
        CHECK(column == expected);
      }
    }
  }
}

}  // namespace a48::test
