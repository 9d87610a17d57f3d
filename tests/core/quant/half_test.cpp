#include "core/quant/half.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/catch.h"

namespace a48::quant {
namespace {

std::uint32_t bits(float x) {
  std::uint32_t value;
  std::memcpy(&value, &x, sizeof value);
  return value;
}

/// Value of an fp16 in double, from its fields.
double value_of_f16(unsigned code) {
  const int exponent = static_cast<int>(code >> 10 & 31), fraction = static_cast<int>(code & 1023);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (code & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace

TEST_CASE("fp16: all 65,536 codes widen to their value, and round back to themselves") {
  for (unsigned code = 0; code < 65536; ++code) {
    const float wide = widen(F16{static_cast<std::uint16_t>(code)});
    const unsigned magnitude = code & 0x7FFF;
    if (magnitude > 0x7C00) {
      if (!std::isnan(wide) || (to_f16(wide).bits & 0x7FFF) <= 0x7C00) FAIL("NaN " << code);
      continue;
    }
    const bool right = magnitude == 0x7C00 ? std::isinf(wide) && std::signbit(wide) == (code > 0x7FFF)
                                           : static_cast<double>(wide) == value_of_f16(code);
    if (!right || to_f16(wide).bits != code) FAIL("code " << code << " is " << wide);
  }
}

TEST_CASE("fp16: between two neighbours the nearer one wins, the even one halfway; 65520 overflows") {
  for (unsigned code = 0; code < 0x7BFF; ++code) {
    const double low = value_of_f16(code), high = value_of_f16(code + 1), middle = (low + high) / 2;
    const float half = static_cast<float>(middle);  // exact: one more bit than fp16 has
    REQUIRE(static_cast<double>(half) == middle);
    const unsigned even = code % 2 == 0 ? code : code + 1;
    const bool right = to_f16(half).bits == even && to_f16(std::nextafter(half, 0.0f)).bits == code &&
                       to_f16(std::nextafter(half, 1e6f)).bits == code + 1 &&
                       to_f16(-half).bits == (even | 0x8000);
    if (!right) FAIL("code " << code);
  }
  CHECK(to_f16(65519.996f).bits == 0x7BFF);
  CHECK(to_f16(65520.0f).bits == 0x7C00);
  CHECK(to_f16(-3e38f).bits == 0xFC00);
  CHECK(to_f16(1e-30f).bits == 0);
  CHECK(to_f16(-0.0f).bits == 0x8000);
}

TEST_CASE("bf16: all 65,536 codes widen to the upper half of an fp32, and round back to themselves") {
  for (unsigned code = 0; code < 65536; ++code) {
    const float wide = widen(Bf16{static_cast<std::uint16_t>(code)});
    if (std::isnan(wide)) {
      if (!std::isnan(widen(to_bf16(wide)))) FAIL("NaN " << code);
      continue;
    }
    if (bits(wide) != code << 16 || to_bf16(wide).bits != code) FAIL("code " << code);
  }
}

TEST_CASE("bf16: ties go to even, NaN stays NaN, above the largest is infinity") {
  CHECK(to_bf16(from_bits(0x3F808000u)).bits == 0x3F80);
  CHECK(to_bf16(from_bits(0x3F808001u)).bits == 0x3F81);
  CHECK(to_bf16(from_bits(0x3F818000u)).bits == 0x3F82);
  CHECK(to_bf16(from_bits(0xBF817FFFu)).bits == 0xBF81);
  CHECK(to_bf16(std::numeric_limits<float>::max()).bits == 0x7F80);
  CHECK(std::isnan(widen(to_bf16(from_bits(0x7F800001u)))));
  CHECK(std::isnan(widen(to_bf16(from_bits(0xFFFFFFFFu)))));
}

}  // namespace a48::quant
