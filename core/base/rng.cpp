#include "core/base/rng.h"

#include <cmath>
#include <numbers>

namespace a48 {

double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const double radius_bits = 1.0 - random_uniform(seed, stream, 2 * index);  // (0, 1]
  const double angle_bits = random_uniform(seed, stream, 2 * index + 1);
  return std::sqrt(-2.0 * std::log(radius_bits)) * std::cos(2.0 * std::numbers::pi * angle_bits);
}

}  // namespace a48
