// Where things lie in device memory: strides of code rows, and the one device form of ternary weights
// (kernels.md 7.2), made at upload. Host and device.
//
// Word w of a weight row holds 16 inputs: bit pair p of its byte b is c = t + 1 of input 16w + 4p + b. So
// (word >> 2p) & 0x03030303 are the codes of the four neighbours 16w + 4p …, in the order of four input
// bytes; and for dp4a not even the shift is needed: masked in place they are the codes times 4^p.
// Example: t = (+1, −1, 0, +1), 0 … -> c = 2 0 1 2, 1 … -> bytes 0x56 0x54 0x55 0x56.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/quant/pack.h"

namespace a48::kernels::cuda {

inline constexpr std::int64_t kRowAlignment = 64;  // bytes; all row starts, so that 16-byte loads fit

A48_INLINE constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Bytes of a row of int8 codes; those behind the width are 0.
A48_INLINE constexpr std::int64_t code_row_bytes(std::int64_t width) {
  return round_up(width, kRowAlignment);
}

inline constexpr std::int64_t kWordInputs = 16;

/// 32-bit words of a row of ternary weights; inputs behind the width are t = 0.
A48_INLINE constexpr std::int64_t ternary_row_words(std::int64_t inputs) {
  return round_up(inputs, 4 * kRowAlignment) / kWordInputs;
}
static_assert(ternary_row_words(1) == 16 && ternary_row_words(256) == 16 && ternary_row_words(257) == 32);

/// Bits shift, shift + 1 of a word hold input `place` (0 … 15) of it.
A48_INLINE constexpr int ternary_shift(int place) { return 8 * (place % 4) + 2 * (place / 4); }
static_assert(ternary_shift(1) == 8 && ternary_shift(4) == 2 && ternary_shift(15) == 30);

inline constexpr std::uint32_t kEmptyTernaryWord = 0x55555555u;

/// t of input `place` of a word; the invalid 2-bit value 3 reads as 2.
A48_INLINE int ternary_of(std::uint32_t word, int place) {
  return static_cast<int>(word >> ternary_shift(place) & 3u) - 1;
}

}  // namespace a48::kernels::cuda
