// Kernel-internal: the cached codes of 64 channels (core/quant/cache.h) as bytes, in parts of four Vectors:
// part h holds, in bits 8r … 8r+7 of its 32-bit lane l, channel 16r + kWidth·h + l. The meaning of
// codes_avx2.h and codes_avx512.h.
#pragma once

#include <cstring>

#include "core/kernels/cpu/vector_portable.h"
// Uses the Vector above.
#include "core/quant/cache.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kCodeParts = 16 / Vector::kWidth;

struct Codes {
  std::uint8_t v[4 * Vector::kWidth];
};

/// Part h of a whole block of 64 channels.
template <int kBits>
A48_INLINE Codes load_block(const std::uint8_t* stored, int h) {
  Codes c;
  for (int i = 0; i < 4 * Vector::kWidth; ++i) {
    const int p = 4 * Vector::kWidth * h + i;
    c.v[i] = static_cast<std::uint8_t>(kBits == 4 ? stored[p % 32] >> 4 * (p / 32) & 15
                                                  : (stored[p % 16] >> 2 * (p / 16) & 3) |
                                                        (stored[16 + p / 8] >> p % 8 & 1) << 2);
  }
  return c;
}
/// Of the last block, which has `groups` < 8 of 8 channels; the others are code 0.
template <int kBits>
A48_INLINE Codes load_rest(const std::uint8_t* stored, int groups, int h) {
  Codes c;
  for (int i = 0; i < 4 * Vector::kWidth; ++i) {
    const int channel = 16 * (i % 4) + Vector::kWidth * h + i / 4;
    c.v[i] = static_cast<std::uint8_t>(
        channel < 8 * groups ? quant::cache_code_at(kBits, stored, 8 * groups, channel) : 0);
  }
  return c;
}

/// u of channels 16r + kWidth·h + lane.
template <int kBits>
A48_INLINE Vector level(const Codes& c, int r) {
  Vector u;
  for (int l = 0; l < Vector::kWidth; ++l)
    u.v[l] = static_cast<float>(quant::cache_level(kBits, c.v[4 * l + r]));
  return u;
}

/// Partial sums of code · query.
struct CodeSums {
  std::int32_t v[Vector::kWidth];
  static A48_INLINE CodeSums zero() { return {}; }
};
A48_INLINE CodeSums add_products(CodeSums sums, const Codes& c, const std::int8_t* q) {
  for (int i = 0; i < 4 * Vector::kWidth; ++i) sums.v[i / 4] += c.v[i] * q[i];
  return sums;
}
constexpr int kFolded = Vector::kWidth / 4;
/// Lanes 4j … 4j+3: what is left of sums[j].
A48_INLINE CodeSums fold(const CodeSums (&sums)[kFolded]) {
  CodeSums folded;
  for (int i = 0; i < Vector::kWidth; ++i) folded.v[i] = sums[i / 4].v[i % 4] + sums[i / 4].v[i % 4 + 4];
  return folded;
}
/// Lane 4j + i: the whole of what is left in lanes 4j … of four[i], as a float (exact below 2^24).
A48_INLINE Vector total_of_each(const CodeSums (&four)[4]) {
  Vector total;
  for (int lane = 0; lane < Vector::kWidth; ++lane) {
    std::int32_t sum = 0;
    for (int l = 0; l < 4; ++l) sum += four[lane % 4].v[lane / 4 * 4 + l];
    total.v[lane] = static_cast<float>(sum);
  }
  return total;
}

/// The largest bits of |x|, NaN and Inf on top.
struct LargestBits {
  std::uint32_t v = 0;
  A48_INLINE void take(Vector x) {
    for (const float each : x.v) {
      const std::uint32_t bits = quant::magnitude_bits(each);
      v = v > bits ? v : bits;
    }
  }
  A48_INLINE std::uint32_t value() const { return v; }
};

/// clamp(rne(product[r])) as bytes, two's complement where negative.
A48_INLINE Codes codes_of(const Vector (&product)[4], int low, int high) {
  Codes c;
  for (int r = 0; r < 4; ++r) {
    for (int l = 0; l < Vector::kWidth; ++l) {
      const float rounded = quant::round_even(product[r].v[l]);
      const float bottom = static_cast<float>(low), top = static_cast<float>(high);
      c.v[4 * l + r] = static_cast<std::uint8_t>(
          static_cast<int>(rounded < bottom ? bottom : (rounded > top ? top : rounded)));
    }
  }
  return c;
}
/// u of each code, as bytes.
template <int kBits>
A48_INLINE Codes levels_of(Codes c) {
  for (std::uint8_t& v : c.v) v = static_cast<std::uint8_t>(quant::cache_level(kBits, v));
  return c;
}
A48_INLINE Codes all_ones() {
  Codes c;
  for (std::uint8_t& v : c.v) v = 1;
  return c;
}
A48_INLINE void store_bytes(const Codes& c, std::int8_t* to) { std::memcpy(to, c.v, sizeof c.v); }

/// What load_block reads.
template <int kBits>
A48_INLINE void store_block(const Codes (&part)[kCodeParts], std::uint8_t* stored) {
  for (int i = 0; i < kBits * 8; ++i) stored[i] = 0;
  for (int channel = 0; channel < quant::kCacheBlock; ++channel) {
    const int p = quant::cache_byte_of(channel), size = 4 * Vector::kWidth;
    quant::put_cache_code(kBits, stored, quant::kCacheBlock, channel, part[p / size].v[p % size]);
  }
}
/// What load_rest reads.
template <int kBits>
A48_INLINE void store_rest(const Codes (&part)[kCodeParts], int channels, std::uint8_t* stored) {
  for (int i = 0; i < kBits * ((channels + 7) / 8); ++i) stored[i] = 0;
  for (int channel = 0; channel < channels; ++channel) {
    const int p = quant::cache_byte_of(channel), size = 4 * Vector::kWidth;
    quant::put_cache_code(kBits, stored, channels, channel, part[p / size].v[p % size]);
  }
}

A48_INLINE Vector divide(Vector a, Vector b) {
  for (int i = 0; i < Vector::kWidth; ++i) a.v[i] /= b.v[i];
  return a;
}
A48_INLINE Vector load_f16(const quant::F16* p) {
  Vector y;
  for (int i = 0; i < Vector::kWidth; ++i) y.v[i] = quant::widen(p[i]);
  return y;
}
A48_INLINE void store_f16(Vector x, quant::F16* p) {
  for (int i = 0; i < Vector::kWidth; ++i) p[i] = quant::to_f16(x.v[i]);
}

}  // namespace
}  // namespace a48::kernels::cpu
