// Median and quartiles of repeated measurements: what every benchmark reports.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/base/check.h"
#include "core/base/json.h"

namespace a48 {

/// At (n − 1)·share of the sorted values, between its two neighbours in proportion: {1, 2, 3, 4} has 1.75,
/// 2.5, 3.25.
struct Quartiles {
  double q1, median, q3;

  explicit Quartiles(std::vector<double> values) {
    A48_ASSERT(!values.empty(), "nothing was measured");
    std::sort(values.begin(), values.end());
    const auto at = [&values](double share) {
      const double place = share * static_cast<double>(values.size() - 1);
      const auto low = static_cast<std::size_t>(place);
      const std::size_t high = std::min(low + 1, values.size() - 1);
      return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
    };
    q1 = at(0.25);
    median = at(0.5);
    q3 = at(0.75);
  }
  Json json() const { return Json::Object{{"median", median}, {"q1", q1}, {"q3", q3}}; }
};

}  // namespace a48
