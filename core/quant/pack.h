// How codes are stored below one byte each (numerics.md 2): two 4-bit codes per byte, four ternary codes per
// byte. One word here; loops over rows: reference.h and core/kernels/cpu/pack_rows*. Host and device, always
// inlined. What the codes mean: math.h.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/quant/math.h"

namespace a48::quant {

// Two codes per byte: even index in bits 0–3, odd index in bits 4–7; an odd width is padded with code 0.
//   integer kinds   two's complement          −8 … 7:  (3, −2) -> 0x3, 0xE -> byte 0xE3
//   FP4             bit 3 sign, bits 0–2 magnitude index of the doubled codes 0 1 2 3 4 6 8 12;
//                   (12, −1) -> 0x7, 0x9 -> byte 0x97; 0x0 is written for zero, 0x8 (minus zero) reads as 0

A48_INLINE std::uint8_t nibble_of(CodeKind kind, int code) {
  if (kind != CodeKind::fp4_grid) return static_cast<std::uint8_t>(code & 15);
  const int magnitude = code < 0 ? -code : code;
  const int index = magnitude <= 4 ? magnitude : (magnitude == 6 ? 5 : (magnitude == 8 ? 6 : 7));
  return static_cast<std::uint8_t>(index | (code < 0 ? 8 : 0));
}

A48_INLINE int code_of_nibble(CodeKind kind, std::uint8_t nibble) {
  if (kind != CodeKind::fp4_grid) return (nibble & 7) - (nibble & 8);
  const int magnitude = fp4_doubled(nibble & 7);
  return (nibble & 8) != 0 ? -magnitude : magnitude;
}

A48_INLINE std::uint8_t pack_pair(CodeKind kind, int even, int odd) {
  return static_cast<std::uint8_t>(nibble_of(kind, even) | (nibble_of(kind, odd) << 4));
}

/// Codes that are saved two a byte.
constexpr bool is_four_bit(Scheme scheme) { return row_of(scheme).storage_bits == 4; }
constexpr std::int64_t packed4_bytes(std::int64_t width) { return (width + 1) / 2; }
static_assert(packed4_bytes(1) == 1 && packed4_bytes(4) == 2 && packed4_bytes(5461) == 2731);

// Four ternary codes per byte: code j in bits 2j … 2j+1 as c = t + 1 in {0, 1, 2}; 3 is invalid.
// (+1, −1, 0, +1) -> c = 2, 0, 1, 2 -> 0b10'01'00'10 = 0x92. Padding is t = 0, so an empty byte is 0x55.

inline constexpr std::uint8_t kEmptyTernaryByte = 0x55;

A48_INLINE std::uint8_t pack_ternary(int t0, int t1, int t2, int t3) {
  return static_cast<std::uint8_t>((t0 + 1) | (t1 + 1) << 2 | (t2 + 1) << 4 | (t3 + 1) << 6);
}

/// Code j of a byte that ternary_byte_is_valid.
A48_INLINE int ternary_at(std::uint8_t byte, int j) { return ((byte >> (2 * j)) & 3) - 1; }

/// No code has both bits set.
constexpr bool ternary_byte_is_valid(std::uint8_t byte) { return (byte & (byte >> 1) & 0x55) == 0; }
static_assert(ternary_byte_is_valid(kEmptyTernaryByte) && ternary_byte_is_valid(0x92) &&
              !ternary_byte_is_valid(0x03));

// T2_ROW (formats.md 9): which four. Input 128b + 32j + i of a row is code j of byte 32b + i; rows take
// 64·⌈width/256⌉ bytes. The first bytes of t = (+1, −1, 0, +1, −1), 0 …: 56 54 55 56 54, then 55.

struct T2RowPlace {
  std::int64_t byte;
  int code;  // 0 … 3 within the byte
};

A48_INLINE T2RowPlace t2_row_place(std::int64_t input) {
  return {input / 128 * 32 + input % 32, static_cast<int>(input / 32 % 4)};
}

constexpr std::int64_t t2_row_bytes(std::int64_t width) { return 64 * ((width + 255) / 256); }
static_assert(t2_row_bytes(1) == 64 && t2_row_bytes(256) == 64 && t2_row_bytes(257) == 128);

// T2_COL is T2_ROW of the transpose: one stored row per input, with all its outputs.

// T2_ROW4: four outputs side by side. Byte e of stored row g holds, in bits 2k … 2k+1, the code of output 4g
// + k at input e; stored rows are ⌈outputs/4⌉, of `inputs` bytes rounded up to 64. Missing outputs and inputs
// are t = 0.

constexpr std::int64_t t2_row4_bytes(std::int64_t inputs) { return (inputs + 63) / 64 * 64; }
static_assert(t2_row4_bytes(1) == 64 && t2_row4_bytes(64) == 64 && t2_row4_bytes(65) == 128);

/// How a ternary matrix [outputs, inputs] is stored: which of its rows or columns can be left unread.
enum class TernaryLayout : int { t2_row, t2_col, t2_row4 };

constexpr std::int64_t stored_rows(TernaryLayout layout, std::int64_t outputs, std::int64_t inputs) {
  return layout == TernaryLayout::t2_row ? outputs
                                         : (layout == TernaryLayout::t2_col ? inputs : (outputs + 3) / 4);
}
constexpr std::int64_t stored_row_bytes(TernaryLayout layout, std::int64_t outputs, std::int64_t inputs) {
  return layout == TernaryLayout::t2_row
             ? t2_row_bytes(inputs)
             : (layout == TernaryLayout::t2_col ? t2_row_bytes(outputs) : t2_row4_bytes(inputs));
}

/// Where the code of one weight is.
struct TernaryPlace {
  std::int64_t row, byte;
  int code;  // 0 … 3 within the byte
};

A48_INLINE TernaryPlace ternary_place(TernaryLayout layout, std::int64_t output, std::int64_t input) {
  if (layout == TernaryLayout::t2_row4) return {output / 4, input, static_cast<int>(output % 4)};
  const T2RowPlace place = t2_row_place(layout == TernaryLayout::t2_row ? input : output);
  return {layout == TernaryLayout::t2_row ? output : input, place.byte, place.code};
}

// Head codes (formats.md 9), rows of bytes that start at multiples of 64.
// I8_ROW: one int8 a code.
// I4_ROW: per 64 inputs 32 bytes; byte j holds u = q + 8 of input j in its low half, of input 32+j in its
//   high half.
// I6_ROW: per 128 inputs 96 bytes: u mod 16 of u = q + 32 as in I4_ROW, then 32 bytes whose byte j holds in
//   bits 2k … 2k+1 the upper two bits of u of input 32k+j.
// Inputs beyond the row's width are q = 0.

inline constexpr std::int64_t kHeadGroup = 32;  // inputs that share a scale in I4_ROW and I6_ROW

constexpr std::int64_t head_groups(std::int64_t width) { return (width + kHeadGroup - 1) / kHeadGroup; }
constexpr std::int64_t i8_row_bytes(std::int64_t width) { return (width + 63) / 64 * 64; }
constexpr std::int64_t i4_row_bytes(std::int64_t width) { return 64 * ((width + 127) / 128); }
constexpr std::int64_t i6_row_bytes(std::int64_t width) { return 192 * ((width + 255) / 256); }
static_assert(i8_row_bytes(65) == 128 && i4_row_bytes(128) == 64 && i6_row_bytes(257) == 384);

A48_INLINE int i4_at(const std::uint8_t* row, std::int64_t input) {
  return (row[input / 64 * 32 + input % 32] >> (input / 32 % 2 * 4) & 15) - 8;
}
A48_INLINE int i6_at(const std::uint8_t* row, std::int64_t input) {
  const std::uint8_t* block = row + input / 128 * 96;
  const std::int64_t in = input % 128;
  const int low = block[in / 64 * 32 + in % 32] >> (in / 32 % 2 * 4) & 15;
  return (low | (block[64 + in % 32] >> (in / 32 * 2) & 3) << 4) - 32;
}
/// `row` holds zero bits where the code goes.
A48_INLINE void put_i4(std::uint8_t* row, std::int64_t input, int code) {
  std::uint8_t& byte = row[input / 64 * 32 + input % 32];
  byte = static_cast<std::uint8_t>(byte | (code + 8) << (input / 32 % 2 * 4));
}
A48_INLINE void put_i6(std::uint8_t* row, std::int64_t input, int code) {
  std::uint8_t* block = row + input / 128 * 96;
  const std::int64_t in = input % 128;
  std::uint8_t &low = block[in / 64 * 32 + in % 32], &high = block[64 + in % 32];
  low = static_cast<std::uint8_t>(low | ((code + 32) & 15) << (in / 32 % 2 * 4));
  high = static_cast<std::uint8_t>(high | (code + 32) >> 4 << (in / 32 * 2));
}

}  // namespace a48::quant
