#include "core/base/quartiles.h"

#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("quartiles lie between their neighbours in proportion, whatever the order of the values") {
  const auto is = [](std::vector<double> values, double q1, double median, double q3) {
    const Quartiles found(std::move(values));
    return found.q1 == q1 && found.median == median && found.q3 == q3;
  };
  CHECK(is({7}, 7, 7, 7));
  CHECK(is({3, 1}, 1.5, 2, 2.5));
  CHECK(is({4, 2, 3, 1}, 1.75, 2.5, 3.25));
  CHECK(is({50, 10, 40, 30, 20}, 20, 30, 40));
  CHECK(Quartiles({1, 3}).json().dump() == R"({"median": 2.0, "q1": 1.5, "q3": 2.5})");
}

}  // namespace a48::test
