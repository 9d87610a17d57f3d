// Which product of codes a device takes: the faster one of those measured at a shape's first use. The clock
// is a script.
#include "core/ops/device_product.h"

#include "tests/support/catch.h"
#include "tests/support/device_on_host.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

double int_mm_seconds = 0.0, own_seconds = 0.0;
int timed = 0;

/// Does the work and gives the scripted seconds of what ran.
double scripted(FunctionRef<void()> work) {
  const Launches before = launches;
  work();
  ++timed;
  return launches.gemm > before.gemm ? own_seconds : int_mm_seconds;
}

struct Setting {
  std::vector<at::Tensor> masters{normal({8, 37}, 1), normal({3, 37}, 2)};

  std::vector<at::Tensor> outputs(std::int64_t rows, at::ScalarType type = torch::kFloat) const {
    const std::vector<ops::TernaryWeight> codes = ops::ternarize(masters);
    const std::vector<ops::LinearWeight> weights{{masters[0], codes[0], "a"}, {masters[1], codes[1], "b"}};
    return ops::bit_linear(normal({rows, 37}, 3).to(type), weights, {});
  }
};

}  // namespace

TEST_CASE("the faster product is taken, measured once a shape; bits are those of the CPU either way") {
  const Setting setting;
  const auto wanted = setting.outputs(40);
  for (const bool own_is_faster : {false, true}) {
    INFO("own kernel faster: " << own_is_faster);
    int_mm_seconds = 2e-6;
    own_seconds = own_is_faster ? 1e-6 : 3e-6;
    const DeviceOnHost device(scripted);
    timed = 0;
    const auto first = setting.outputs(40);
    const int timed_once = timed;
    CHECK(timed_once > 0);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(same_bits(first[i], wanted[i]));

    launches = {};
    const auto later = setting.outputs(40);
    setting.outputs(64);  // of the same class: up to 64 rows
    CHECK(launches.gemm == (own_is_faster ? 2 : 0));
    CHECK(launches.scale == (own_is_faster ? 0 : 2));
    CHECK(timed == timed_once);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(same_bits(later[i], wanted[i]));

    setting.outputs(65);                    // other rows
    setting.outputs(40, torch::kBFloat16);  // another type of result
    CHECK(timed == 3 * timed_once);
    const std::vector<ops::MeasuredProduct> known = ops::measured_products();
    REQUIRE(known.size() == 3);
    CHECK(known[0].rows == 64);
    CHECK(known[0].inputs == 37);
    CHECK(known[0].outputs == 11);
    CHECK(known[0].int_mm == int_mm_seconds);
    CHECK(known[0].own_kernel == own_seconds);
    CHECK((known[1].rows == 128 && known[1].type == torch::kFloat));
    CHECK((known[2].rows == 64 && known[2].type == torch::kBFloat16));
  }
  const DeviceOnHost another(scripted);
  CHECK(ops::measured_products().empty());
}

TEST_CASE("few rows, and a device without a clock, need no measurement") {
  const Setting setting;
  {
    const DeviceOnHost device(scripted);
    timed = 0;
    setting.outputs(16);  // LibTorch's product takes more rows than these
    CHECK(timed == 0);
    CHECK(launches.gemm == 1);
  }
  const DeviceOnHost device(nullptr);
  setting.outputs(40);
  CHECK(launches.scale == 1);
  CHECK(ops::measured_products().empty());
}

}  // namespace a48::test
