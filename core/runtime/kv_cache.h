// KvCache: the keys and values of every layer and sequence at 32, 16, 4 or 3 bits, truly stored at that size,
// and the exact attention over them (numerics.md 5.2). Positions of one head are contiguous; with kv_bits = 3
// the first position of a sequence has a slot of its own at bos_bits. Next: core/kernels/api.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/view.h"
#include "core/kernels/api.h"

namespace a48::runtime {

struct CacheFormat {
  int kv_bits = 32;  // 32, 16, 4, 3
  int bos_bits = 4;  // of the first position when kv_bits = 3: 4, or 3 for no exception
  int q_bits = 16;   // 16 = not quantized, 8, 4; below 16 only with kv_bits 4 or 3
  bool operator==(const CacheFormat&) const = default;
};
/// Error(config) naming the key and the allowed values.
void check_cache_format(const CacheFormat& format);

struct CacheShape {
  std::int64_t layers, heads, kv_heads, head_dim;
};
/// Chunks of the cache that so many positions fill.
constexpr std::int64_t chunks_for(std::int64_t positions) {
  return (positions + quant::kCacheChunk - 1) / quant::kCacheChunk;
}
kernels::CacheLayout cache_layout(const CacheShape& shape, const CacheFormat& format);
/// 2·kv_heads·(b·⌈hd/8⌉ + 2) bytes a layer at 3 and 4 bits, 2·kv_heads·hd·(b/8) at 16 and 32.
std::int64_t cache_bytes_per_token(const CacheShape& shape, const CacheFormat& format);
/// Of a row that store_cache_rows found not finite: `status` says which part. Error(not_finite).
[[noreturn]] void fail_cache_row(std::uint8_t status, const CacheFormat& format, std::int64_t layer,
                                 std::int64_t sequence, std::int64_t position);

class KvCache {
 public:
  KvCache(const CacheShape& shape, const CacheFormat& format);

  /// Forgets all and begins `sequences` empty ones; storage is kept.
  void start(std::int32_t sequences);
  /// Room for `positions` of each sequence, so that nothing is allocated until then.
  void reserve(std::int64_t positions);
  std::int64_t length(std::int32_t sequence) const { return lengths_[static_cast<std::size_t>(sequence)]; }
  std::span<const std::int64_t> lengths() const { return lengths_; }
  std::int32_t sequences() const { return static_cast<std::int32_t>(lengths_.size()); }
  const CacheFormat& format() const { return format_; }

  /// The rows of the next calls of attend: one more position of each named sequence, in order; position[R].
  void append(std::span<const std::int32_t> sequence_of_row, std::int32_t* position);
  /// Encodes and stores k, v [R, KV·hd] (after RoPE) of the appended rows, then lets each q [R, H·hd] see its
  /// sequence up to itself. Error(not_finite) names layer, sequence and position where a key or value is not
  /// finite or overflows fp16.
  void attend(std::int64_t layer, Rows<const float> q, Rows<const float> k, Rows<const float> v,
              Rows<float> y);

  std::int64_t bytes_per_token() const { return cache_bytes_per_token(shape_, format_); }
  /// Of the storage now held.
  std::int64_t bytes() const;

 private:
  void add_free_chunk();
  void take_chunk(std::size_t sequence);
  void fit_scratch();

  CacheShape shape_;
  CacheFormat format_;
  kernels::CacheLayout layout_;
  std::int64_t layer_bytes_, first_bytes_;  // of a chunk, of the slots of a sequence's first position
  std::int64_t reserved_ = 0;               // positions of each sequence

  // A chunk holds 256 positions of one sequence in all layers; chunks_of_[s] are those of sequence s.
  std::vector<PageBuffer> chunks_;
  std::vector<std::uint8_t*> free_chunks_;
  std::vector<std::vector<std::uint8_t*>> chunks_of_;
  std::vector<Buffer<std::uint8_t>> first_;  // [sequences][layer]
  std::vector<std::int64_t> lengths_;        // appended rows included

  // The appended rows.
  std::vector<std::int32_t> row_sequence_;
  std::vector<std::int64_t> row_position_;
  std::vector<kernels::CacheView> views_;
  std::vector<std::uint8_t> status_;
  Buffer<float> scratch_;
};

}  // namespace a48::runtime
