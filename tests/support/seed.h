// The seed of the tests' random inputs: fixed, so that a failure is found again, unless A48_TEST_SEED says
// otherwise (a number, or "time"). main() prints it.
#pragma once

#include <cstdint>

namespace a48::test {

inline constexpr std::uint64_t kDefaultSeed = 48;

std::uint64_t seed();

}  // namespace a48::test
