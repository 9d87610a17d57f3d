#include "core/kernels/rope_table.h"

#include <cmath>

#include "core/base/check.h"

namespace a48::kernels {

RopeTable build_rope_table(std::int64_t positions, std::int64_t head_dim, double theta) {
  A48_ASSERT(positions >= 0 && head_dim > 0 && head_dim % 2 == 0 && theta > 0.0, "positions", positions,
             "head_dim", head_dim, "theta", theta);
  const std::int64_t half = head_dim / 2;
  RopeTable table{positions, half, Buffer<float>(positions * half), Buffer<float>(positions * half)};
  for (std::int64_t i = 0; i < half; ++i) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    for (std::int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * frequency;
      table.cos[p * half + i] = static_cast<float>(std::cos(angle));
      table.sin[p * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

}  // namespace a48::kernels
