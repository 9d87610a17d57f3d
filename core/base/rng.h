// Counter-based random numbers: a pure function of (seed, stream, index); no state, so nothing to save and
// nothing to shift. The mixer is that of formats.md 6.4 (splitmix64's finaliser), arithmetic modulo 2^64.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace a48 {

inline constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ull;

A48_HD inline std::uint64_t mix64(std::uint64_t z) {
  z ^= z >> 30;
  z *= 0xBF58476D1CE4E5B9ull;
  z ^= z >> 27;
  z *= 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// f(seed, stream, index): 64 random bits.
A48_HD inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return mix64(mix64(mix64(seed + kGolden) + (stream + 1) * kGolden) + (index + 1) * kGolden);
}

/// Uniform in [0, 1) with 53 bits.
A48_HD inline double random_uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  return static_cast<double>(random_bits(seed, stream, index) >> 11) * 0x1.0p-53;
}

/// Standard normal by Box–Muller from two indices of one stream; the same index gives the same number.
double random_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t index);

/// A stream number for a name ("init:model.embed_tokens.weight"): FNV-1a of its bytes.
constexpr std::uint64_t stream_of(const char* name) {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (; *name != '\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001B3ull;
  return hash;
}

}  // namespace a48
