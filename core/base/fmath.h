// The two pieces of floating arithmetic that every forward kernel shares: the lane sum (numerics E1) and exp
// (E6). Host and device; the vector forms in core/kernels/cpu/vector_*.h restate them in instructions and
// give the same bits.
//
// exp_f32 uses neither fma nor a library call, so that every CPU and the plain C++ of a compiler without fma
// agree.
#pragma once

#include <math.h>

#include <cstdint>
#include <cstring>

#include "core/base/host_device.h"

namespace a48 {

inline constexpr int kLanes = 32;

/// Adds 32 lanes: lane l += lane l+16, then +8, +4, +2, +1. Destroys `lane`.
template <typename T>
A48_INLINE T fold_lanes(T (&lane)[kLanes]) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

/// Σ term(k) over k in [0, count) in the order of E1: term k goes to lane k mod 32, ascending.
template <typename T, typename Term>
A48_INLINE T lane_sum(std::int64_t count, Term term) {
  T lane[kLanes] = {};
  for (std::int64_t k = 0; k < count; ++k) lane[k % kLanes] += term(k);
  return fold_lanes(lane);
}

/// fp32 dot product of E3: lanes as above, each product added with fma.
A48_INLINE float lane_dot(const float* a, const float* b, std::int64_t count) {
  float lane[kLanes] = {};
  for (std::int64_t k = 0; k < count; ++k) lane[k % kLanes] = ::fmaf(a[k], b[k], lane[k % kLanes]);
  return fold_lanes(lane);
}

/// exp(x) = 2^n·(1 + r + r²·q(r)), n = rne(x/ln 2), |r| <= ln 2/2. The numbers below are shared with the
/// vector forms.
namespace exp_parts {
// Outside, the result is +0 or +inf anyway: e^-104 < 2^-150 (half the least denormal), e^89 > 2^128.
inline constexpr float kLowest = -104.0f, kHighest = 89.0f;
inline constexpr float kLog2E = 0x1.715476p0f;
// Adding 1.5·2^23 rounds to an integer, ties to even, and leaves it in the low bits of the sum.
inline constexpr float kRoundingShift = 0x1.8p23f;
inline constexpr std::uint32_t kRoundingShiftBits = 0x4b400000u;
// ln 2 in two parts; n·kLn2High is exact because the high part has 15 bits and n has 8.
inline constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
// Minimax fit of (e^r − 1 − r)/r² for the relative error of e^r, which stays below 3.1e-9 (0.05 units of
// 2^-24).
inline constexpr float kQ0 = 0x1.fffffcp-2f, kQ1 = 0x1.555492p-3f, kQ2 = 0x1.5558f2p-5f, kQ3 = 0x1.1239e2p-7f,
                       kQ4 = 0x1.6a2434p-10f;
}  // namespace exp_parts

/// e^x within 2 ulp (a test measures it over all magnitudes); exp(−inf) = +0, exp(+inf) = +inf, NaN stays
/// NaN.
A48_INLINE float exp_f32(float x) {
  using namespace exp_parts;
  x = x < kLowest ? kLowest : x;  // written so that NaN passes
  x = x > kHighest ? kHighest : x;
  const float shifted = x * kLog2E + kRoundingShift;
  const float n = shifted - kRoundingShift;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  const float q = (((kQ4 * r + kQ3) * r + kQ2) * r + kQ1) * r + kQ0;
  const float mantissa = 1.0f + (r + (r * r) * q);
  // 2^n as a product of two powers, both normal numbers, so that results near 2^128 and below 2^-126 come out
  // right.
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const std::int32_t exponent = static_cast<std::int32_t>(bits - kRoundingShiftBits);
  const std::int32_t first = exponent >> 1;
  const std::uint32_t first_bits = static_cast<std::uint32_t>(first + 127) << 23;
  const std::uint32_t second_bits = static_cast<std::uint32_t>(exponent - first + 127) << 23;
  float first_power, second_power;
  std::memcpy(&first_power, &first_bits, sizeof first_bits);
  std::memcpy(&second_power, &second_bits, sizeof second_bits);
  return mantissa * first_power * second_power;
}

}  // namespace a48
