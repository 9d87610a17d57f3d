// 16-bit floats as stored: bf16 (the upper half of an fp32) and IEEE fp16, each rounded half to even and
// widened exactly. Host and device, always inlined; the vector forms in core/kernels/cpu give the same bits.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/quant/math.h"

namespace a48::quant {

/// A stored bf16. 1.0 = 0x3F80.
struct Bf16 {
  std::uint16_t bits;
};

A48_INLINE float widen(Bf16 x) { return from_bits(std::uint32_t{x.bits} << 16); }

/// NaN stays NaN, values above the largest bf16 become infinity.
A48_INLINE Bf16 to_bf16(float x) {
  const std::uint32_t bits = bits_of(x);
  if (magnitude_bits(x) > kNonFiniteBits) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16)};
}

/// A stored fp16. 1.0 = 0x3C00.
struct F16 {
  std::uint16_t bits;
};

A48_INLINE float widen(F16 x) {
  const std::uint32_t sign = (x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7FFFu;
  if (magnitude < 0x0400u) {  // below 2^-14: multiples of 2^-24
    return from_bits(sign | bits_of(static_cast<float>(magnitude) * 0x1p-24f));
  }
  const std::uint32_t bias = magnitude >= 0x7C00u ? 224u : 112u;  // infinity and NaN stay what they are
  return from_bits(sign | ((magnitude << 13) + (bias << 23)));
}

/// NaN stays NaN, values from 65520 on become infinity.
A48_INLINE F16 to_f16(float x) {
  const std::uint32_t sign = bits_of(x) >> 16 & 0x8000u, magnitude = magnitude_bits(x);
  std::uint32_t bits;
  if (magnitude > kNonFiniteBits) {
    bits = 0x7E00u;
  } else if (magnitude >= 0x477FF000u) {  // 65520
    bits = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14
    bits = (magnitude + 0xFFFu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
  } else {  // numbers from 1/2 on have steps of 2^-24: the addition rounds
    bits = bits_of(from_bits(magnitude) + 0.5f) - 0x3F000000u;
  }
  return {static_cast<std::uint16_t>(sign | bits)};
}

}  // namespace a48::quant
