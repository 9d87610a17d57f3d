// Kernel-internal: keys and values into the cache, for the Vector and the Codes of the including file
// (codes_*.h). The same in obvious loops: store_cache_rows_reference.cpp.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/kernels/api.h"
#include "core/kernels/cpu/cache_scale.h"
#include "core/quant/cache.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE int channels_at(std::int64_t hd, std::int64_t channel) {
  const std::int64_t rest = hd - channel;
  return static_cast<int>(rest < 0 ? 0 : (rest < Vector::kWidth ? rest : Vector::kWidth));
}

A48_INLINE std::uint32_t largest_bits_of(const float* x, std::int64_t hd) {
  LargestBits largest;
  for (std::int64_t i = 0; i < hd; i += Vector::kWidth)
    largest.take(Vector::load_first(x + i, channels_at(hd, i)));
  return largest.value();
}

template <int kBits>
A48_INLINE bool store_codes(const float* x, std::int64_t hd, std::uint8_t* row, quant::F16* gamma) {
  const CacheScale scale(kBits, largest_bits_of(x, hd));
  *gamma = scale.gamma;  // NOLINT(clang-analyzer-core.*): null at 16 and 32 bits alone, see store_head
  for (std::int64_t channel = 0; channel < hd; channel += quant::kCacheBlock) {
    Codes part[kCodeParts];
    for (int h = 0; h < kCodeParts; ++h) {
      Vector product[4];
      for (int r = 0; r < 4; ++r) {
        const std::int64_t at = channel + 16 * r + Vector::kWidth * h;
        product[r] = scale.product(Vector::load_first(x + at, channels_at(hd, at)));
        if (!scale.finite) product[r] = scale.product(Vector::zero());
      }
      part[h] = codes_of(product, 0, quant::cache_max_code(kBits));
    }
    std::uint8_t* to = row + quant::cache_code_bytes(kBits, channel);
    if (channel + quant::kCacheBlock <= hd) {
      store_block<kBits>(part, to);
    } else {
      store_rest<kBits>(part, static_cast<int>(hd - channel), to);
    }
  }
  return scale.finite;
}

A48_INLINE bool store_halves(const float* x, std::int64_t hd, quant::F16* row) {
  const bool finite = quant::is_finite(quant::cache_gamma(largest_bits_of(x, hd)));
  for (std::int64_t i = 0; i < hd; i += Vector::kWidth) {
    const int here = channels_at(hd, i);
    quant::F16 halves[Vector::kWidth];
    store_f16(finite ? Vector::load_first(x + i, here) : Vector::zero(), halves);
    for (int l = 0; l < here; ++l) row[i + l] = halves[l];
  }
  return finite;
}

A48_INLINE bool store_floats(const float* x, std::int64_t hd, float* row) {
  const bool finite = largest_bits_of(x, hd) < quant::kNonFiniteBits;
  for (std::int64_t i = 0; i < hd; i += Vector::kWidth) {
    const int here = channels_at(hd, i);
    (finite ? Vector::load_first(x + i, here) : Vector::zero()).store_first(row + i, here);
  }
  return finite;
}

/// One head of a key or a value into row t of its stream. False: not finite, or too large.
A48_INLINE bool store_head(int bits, const float* x, std::int64_t hd, std::uint8_t* stream,
                           std::int64_t capacity, std::int64_t t) {
  const quant::CacheStream s = quant::cache_stream(bits, hd, capacity, stream);
  std::uint8_t* row = s.rows + t * s.row_bytes;
  if (bits == 32) return store_floats(x, hd, reinterpret_cast<float*>(row));
  if (bits == 16) return store_halves(x, hd, reinterpret_cast<quant::F16*>(row));
  return bits == 4 ? store_codes<4>(x, hd, row, s.gamma + t) : store_codes<3>(x, hd, row, s.gamma + t);
}

A48_INLINE bool query_is_finite(int q_bits, const float* x, std::int64_t hd) {
  const std::uint32_t largest = largest_bits_of(x, hd);
  return q_bits == 8 ? largest < quant::kNonFiniteBits : quant::is_finite(quant::cache_gamma(largest));
}

A48_INLINE void store_cache_rows_body(const StoreCacheRows& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t hd = a.layout.head_dim;
  for (std::int64_t r = begin; r < end; ++r) {
    const CacheView& view = a.kv[r];
    const std::int64_t t = view.length - 1;
    const bool apart = t == 0 && view.first != nullptr;
    const int bits = apart ? a.layout.first_bits : a.layout.bits;
    const std::int64_t capacity = apart ? 1 : quant::kCacheChunk;
    const std::int64_t stream = apart ? first_stream_bytes(a.layout) : stream_bytes(a.layout);
    std::uint8_t* const base = apart ? view.first : view.chunk[t / quant::kCacheChunk] + view.offset;
    bool key = true, value = true, query = true;
    for (std::int64_t head = 0; head < a.layout.kv_heads; ++head) {
      std::uint8_t* keys = base + 2 * head * stream;
      key &= store_head(bits, a.k.row(r) + head * hd, hd, keys, capacity, t % capacity);
      value &= store_head(bits, a.v.row(r) + head * hd, hd, keys + stream, capacity, t % capacity);
    }
    if (a.q_bits < 16) {
      for (std::int64_t i = 0; i < a.q.cols; i += hd) query &= query_is_finite(a.q_bits, a.q.row(r) + i, hd);
    }
    a.status[r] = !key ? kKeyNonFinite : (!value ? kValueNonFinite : (!query ? kQueryNonFinite : kRowFinite));
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
