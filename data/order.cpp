// A Feistel network over the smallest even number of bits that covers N, walked until it lands inside N: a
// bijection of 0…N−1 that needs no table (formats.md 6.4).
#include "data/order.h"

#include <array>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace a48::data {
namespace {

constexpr int kRounds = 8;  // four are visibly biased for small N

using RoundKeys = std::array<std::uint64_t, kRounds>;

RoundKeys round_keys(std::uint64_t seed, std::uint64_t stream, std::uint64_t epoch) {
  const std::uint64_t h = random_bits(seed, stream, epoch);
  RoundKeys keys{};
  for (std::uint64_t r = 0; r < kRounds; ++r) keys[r] = mix64(h + (r + 1) * kGolden);
  return keys;
}

/// Smallest w >= 1 with 2^(2w) >= n.
unsigned half_width(std::uint64_t n) {
  unsigned w = 1;
  while (2 * w < 64 && (std::uint64_t{1} << (2 * w)) < n) ++w;
  return w;
}

std::uint64_t feistel(std::uint64_t i, unsigned w, const RoundKeys& keys) {
  const std::uint64_t mask = (std::uint64_t{1} << w) - 1;
  std::uint64_t left = i >> w, right = i & mask;
  for (const std::uint64_t key : keys) {
    const std::uint64_t mixed = left ^ (mix64(right ^ key) & mask);
    left = right;
    right = mixed;
  }
  return left << w | right;
}

}  // namespace

std::int64_t window_at(std::uint64_t seed, std::uint64_t stream, std::int64_t position,
                       std::int64_t windows) {
  A48_ASSERT(windows > 0 && position >= 0, "windows ", windows, ", position ", position);
  const auto n = static_cast<std::uint64_t>(windows);
  const std::uint64_t epoch = static_cast<std::uint64_t>(position) / n;
  std::uint64_t index = static_cast<std::uint64_t>(position) % n;
  const RoundKeys keys = round_keys(seed, stream, epoch);
  const unsigned w = half_width(n);
  do index = feistel(index, w, keys);
  while (index >= n);
  return static_cast<std::int64_t>(index);
}

}  // namespace a48::data
