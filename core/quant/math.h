// The formulas of every quantizer, each once: reciprocal, step, code, value, and the epilogue of a BitLinear
// product (numerics.md 2, 2.1, 4.1). Host and device, always inlined: a vector body restates these in
// instructions, its tail calls them. The numbers of a quantizer come from its row in scheme.h.
//
// Statistic first (a = max|x|, or b = mean|x| by the lane sum of core/base/fmath.h), then
//   s = clamp_statistic(a or b),  inv = inv_of(row, s),  q = encode(row, x, inv),  d = step_of(row, s).
// Worked example, int4: x = (1, 1, 1) has b = 1, inv = c7 = 2.6457513, q = 3, d = 1/c7, value 3/c7 = 1.13389.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/quant/scheme.h"

namespace a48::quant {

/// Exponent field of NaN and Inf: magnitude bits at or above it are not finite.
inline constexpr std::uint32_t kNonFiniteBits = 0x7f800000u;

A48_INLINE std::uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(std::uint32_t, x);
#endif
}

/// The bits of |x|: as unsigned numbers they are ordered like the magnitudes, NaN and Inf on top.
A48_INLINE std::uint32_t magnitude_bits(float x) { return bits_of(x) & 0x7fffffffu; }

A48_INLINE float from_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

A48_INLINE bool is_finite(float x) { return magnitude_bits(x) < kNonFiniteBits; }

/// Nearest integer, ties to even; the only rounding of the tree (std::round takes ties away from zero).
A48_INLINE float round_even(float x) {
#if defined(__CUDA_ARCH__)
  return rintf(x);
#else
  return __builtin_rintf(x);
#endif
}

/// ε_c bounds a finite statistic from below, so that an all-zero row has a finite reciprocal.
A48_INLINE float clamp_statistic(float statistic) {
  return statistic < kStatisticFloor ? kStatisticFloor : statistic;
}

/// inv: the factor that takes x to the units of its codes. One division.
A48_INLINE float inv_of(const SchemeRow& row, float statistic) { return row.inverse_numerator / statistic; }

/// d: the value of code 1. One division.
A48_INLINE float step_of(const SchemeRow& row, float statistic) { return statistic / row.step_divisor; }

/// FP4 E2M1, magnitude index 0 … 7 of y = |x|·inv; ties go to the even index. The second tie of each pair
/// belongs to the upper index, hence >= there.
A48_INLINE int fp4_index(float y) {
  return int{y > 0.25f} + int{y >= 0.75f} + int{y > 1.25f} + int{y >= 1.75f} + int{y > 2.5f} +
         int{y >= 3.5f} + int{y > 5.0f};
}

/// Twice the magnitude of an E2M1 index: 0 1 2 3 4 6 8 12, so that FP4 codes are integers.
A48_INLINE int fp4_doubled(int index) {
  return index + int{index >= 5} + int{index >= 6} + 3 * int{index >= 7};
}

/// The code of a finite x: round first, clip second. FP4 gives the doubled grid value.
A48_INLINE int encode(const SchemeRow& row, float x, float inv) {
  const float product = x * inv;
  if (row.kind == CodeKind::fp4_grid) {
    const int doubled = fp4_doubled(fp4_index(product < 0.0f ? -product : product));
    return product < 0.0f ? -doubled : doubled;
  }
  const float rounded = round_even(product);
  const float low = static_cast<float>(row.min_code);
  const float high = static_cast<float>(row.max_code);
  return static_cast<int>(rounded < low ? low : (rounded > high ? high : rounded));
}

A48_INLINE float decode(int code, float step) { return static_cast<float>(code) * step; }

/// y = float(acc)·(d·α): one product for the scale, one for the result, nothing else.
A48_INLINE float epilogue(std::int32_t acc, float step, float alpha) {
  const float scale = step * alpha;
  return static_cast<float>(acc) * scale;
}

/// The code of a head weight (formats.md 9): w/s rounded and clipped to ±most; 0 where the scale is 0.
A48_INLINE int head_code(float weight, float scale, int most) {
  if (scale == 0.0f) return 0;
  const float rounded = round_even(weight / scale), limit = static_cast<float>(most);
  return static_cast<int>(rounded < -limit ? -limit : (rounded > limit ? limit : rounded));
}

}  // namespace a48::quant
