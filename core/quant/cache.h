// The cache's codes (numerics.md 5.2): what a head of a cached key or value becomes, and where its bytes lie.
// Host and device, always inlined. Loops over rows: reference.h; the kernels: core/kernels/cpu/cache_rows*,
// attention_cache_rows*.
//
// Per head and token, with L = 2^b − 1:  γ = fp16(max|x|),  code = clamp(rne((x/γ + 1)·(L/2)), 0, L),
// u = 2·code − L,  s = γ/L,  value u·s.  Worked example, b = 3: x = (1, −1, 0) has γ = 1, codes 7 0 4, values
// 1, −1, 1/7: the grid has no zero.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/quant/half.h"
#include "core/quant/math.h"

namespace a48::quant {

A48_INLINE constexpr int cache_max_code(int bits) { return (1 << bits) - 1; }

/// fp16 bits of γ of a head whose largest |x| has these bits. 0x7c00 and above: overflow or NaN, an error.
A48_INLINE F16 cache_gamma(std::uint32_t largest_magnitude_bits) {
  return to_f16(from_bits(largest_magnitude_bits));
}
A48_INLINE bool is_finite(F16 x) { return (x.bits & 0x7c00u) != 0x7c00u; }

/// x/γ counts as 0 where γ is 0.
A48_INLINE int encode_cache(int bits, float x, float gamma) {
  const int max_code = cache_max_code(bits);
  const float ratio = gamma > 0.0f ? x / gamma : 0.0f;
  const float rounded = round_even((ratio + 1.0f) * (0.5f * static_cast<float>(max_code)));
  const float high = static_cast<float>(max_code);
  return static_cast<int>(rounded < 0.0f ? 0.0f : (rounded > high ? high : rounded));
}

/// u: odd, |u| <= L.
A48_INLINE int cache_level(int bits, int code) { return 2 * code - cache_max_code(bits); }

/// s, one division.
A48_INLINE float cache_step(int bits, float gamma) {
  return gamma / static_cast<float>(cache_max_code(bits));
}

// Storage of the codes of one head: bits·⌈hd/8⌉ bytes. Whole blocks of 64 channels are planes of bits, so
// that vectors take them apart with one shift; the rest, 8 channels at a time, is one little-endian word a
// group (3 or 4 bytes, code j at bits b·j …; missing codes are 0).
//
// A vector holds the 64 codes of a block as bytes in the order byte 4l + r = channel 16r + l: as 32-bit lanes
// shifted right by 8r they are channels 16r … 16r + 15. Byte p of that vector is stored
//   3 bits: low two bits at bits 2j of byte i, with i = p mod 16, j = p/16; high bit at bit p of the 8 bytes
//           that follow;
//   4 bits: bits 4j of byte i, with i = p mod 32, j = p/32.

inline constexpr int kCacheBlock = 64;  // channels

A48_INLINE constexpr int cache_byte_of(int channel) { return 4 * (channel % 16) + channel / 16; }
static_assert(cache_byte_of(0) == 0 && cache_byte_of(1) == 4 && cache_byte_of(16) == 1 &&
              cache_byte_of(63) == 63);

A48_INLINE constexpr std::int64_t cache_code_bytes(int bits, std::int64_t head_dim) {
  return bits * ((head_dim + 7) / 8);
}

/// Where a code lies: its low bits in one byte of the head's, the others, if any, in a second one.
struct CachePlace {
  std::int32_t low_byte, high_byte;
  std::int32_t low_shift, high_shift;
  std::int32_t low_bits, high_bits;  // how many
};

A48_INLINE CachePlace cache_place(int bits, std::int64_t head_dim, std::int64_t channel) {
  const std::int64_t block = channel / kCacheBlock;
  const int inside = static_cast<int>(channel % kCacheBlock);
  const int begin = static_cast<int>(cache_code_bytes(bits, block * kCacheBlock));
  if ((block + 1) * kCacheBlock > head_dim) {
    const int bit = bits * (inside % 8), byte = begin + bits * (inside / 8) + bit / 8, shift = bit % 8;
    const int low_bits = bits < 8 - shift ? bits : 8 - shift;
    return {byte, low_bits < bits ? byte + 1 : byte, shift, 0, low_bits, bits - low_bits};
  }
  const int p = cache_byte_of(inside);
  if (bits == 4) return {begin + p % 32, begin + p % 32, 4 * (p / 32), 0, 4, 0};
  return {begin + p % 16, begin + 16 + p / 8, 2 * (p / 16), p % 8, 2, 1};
}

A48_INLINE int cache_code_at(const CachePlace& place, const std::uint8_t* stored) {
  const int low = stored[place.low_byte] >> place.low_shift & ((1 << place.low_bits) - 1);
  const int high = stored[place.high_byte] >> place.high_shift & ((1 << place.high_bits) - 1);
  return low | high << place.low_bits;
}
A48_INLINE int cache_code_at(int bits, const std::uint8_t* stored, std::int64_t head_dim,
                             std::int64_t channel) {
  return cache_code_at(cache_place(bits, head_dim, channel), stored);
}

/// Into bytes that are 0 so far: visit(byte, bits to set) for each of its parts.
template <typename Visit>
A48_INLINE void for_each_part(const CachePlace& place, int code, Visit visit) {
  visit(place.low_byte, (code & ((1 << place.low_bits) - 1)) << place.low_shift);
  if (place.high_bits > 0) visit(place.high_byte, code >> place.low_bits << place.high_shift);
}
A48_INLINE void put_cache_code(int bits, std::uint8_t* stored, std::int64_t head_dim, std::int64_t channel,
                               int code) {
  for_each_part(cache_place(bits, head_dim, channel), code, [stored](int byte, int value) {
    stored[byte] = static_cast<std::uint8_t>(stored[byte] | value);
  });
}

// A head's chunk of 256 positions: the rows of the keys, then those of the values. At 4 and 3 bits the codes
// of all positions come first, then their γ (fp16), so that a vector loads the γ of neighbours; at 32 bits
// rows are fp32, at 16 fp16.

inline constexpr std::int64_t kCacheChunk = 256;  // positions; the chunk of the attention sums

/// Bytes of one key or one value of one head.
A48_INLINE constexpr std::int64_t cache_row_bytes(int bits, std::int64_t head_dim) {
  return bits >= 16 ? head_dim * (bits / 8) : cache_code_bytes(bits, head_dim) + 2;
}
static_assert(cache_row_bytes(3, 64) == 26 && cache_row_bytes(3, 100) == 41 && cache_row_bytes(3, 128) == 50);
static_assert(cache_row_bytes(4, 64) == 34 && cache_row_bytes(4, 100) == 54 && cache_row_bytes(4, 128) == 66);

/// The rows of `capacity` positions of keys or of values of one head: codes, or floats.
struct CacheStream {
  std::uint8_t* rows;
  std::int64_t row_bytes;
  F16* gamma;  // [capacity]; nullptr at 16 and 32 bits
};

A48_INLINE CacheStream cache_stream(int bits, std::int64_t head_dim, std::int64_t capacity,
                                    std::uint8_t* begin) {
  if (bits >= 16) return {begin, cache_row_bytes(bits, head_dim), nullptr};
  const std::int64_t codes = cache_code_bytes(bits, head_dim);
  // 2-byte aligned: `capacity` is even, or the row's own slot below has room for it
  return {begin, codes, reinterpret_cast<F16*>(begin + (capacity * codes + 1) / 2 * 2)};
}
A48_INLINE constexpr std::int64_t cache_stream_bytes(int bits, std::int64_t head_dim, std::int64_t capacity) {
  if (bits >= 16) return capacity * cache_row_bytes(bits, head_dim);
  return (capacity * cache_code_bytes(bits, head_dim) + 1) / 2 * 2 + 2 * capacity;
}

}  // namespace a48::quant
