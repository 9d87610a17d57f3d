// DeviceCache: keys and values in the memory of a GPU, in the bytes of the CPU's (kv_cache.h). Pages of 256
// positions of one sequence in all layers; a table on the device says where each one lies, so that kernels
// find them by sequence and position alone. Next: core/kernels/cuda/table_cuda.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/kernels/cuda/memory.h"
#include "core/kernels/cuda/table_cuda.h"
#include "core/runtime/kv_cache.h"

namespace a48::runtime {

class DeviceCache {
 public:
  DeviceCache(const CacheShape& shape, const CacheFormat& format, std::int64_t max_positions);

  /// Forgets all and begins `sequences` empty ones; storage is kept.
  void start(std::int32_t sequences);
  /// Room for `positions` of each sequence.
  void reserve(std::int64_t positions);
  std::span<const std::int64_t> lengths() const { return lengths_; }
  const CacheFormat& format() const { return format_; }

  /// One more position of each named sequence, in order; position[R]. The table follows on the stream.
  void append(std::span<const std::int32_t> sequence_of_row, std::int32_t* position,
              kernels::cuda::Stream stream);

  /// The layer's pages, for rows whose sequence and position stand in device memory.
  kernels::cuda::CachePages pages(std::int64_t layer, const std::int32_t* sequence,
                                  const std::int32_t* position) const;
  /// Chunks of the longest sequence, or of what was reserved.
  std::int64_t chunks() const { return chunks_; }
  /// Changes whenever a recorded graph would no longer fit: chunks() grew, or storage moved.
  std::int64_t revision() const { return revision_; }

  std::int64_t bytes_per_token() const { return cache_bytes_per_token(shape_, format_); }
  /// Of the storage now held.
  std::int64_t bytes() const;
  std::int64_t chunk_bytes() const { return shape_.layers * layer_bytes_; }

 private:
  void fit(std::int64_t positions);
  void take_chunk(std::size_t sequence);
  std::int64_t table_chunks() const;

  CacheShape shape_;
  CacheFormat format_;
  kernels::CacheLayout layout_;
  std::int64_t max_positions_, layer_bytes_, first_bytes_;
  std::int64_t reserved_ = 1, chunks_ = 1, revision_ = 0;

  std::vector<kernels::cuda::DeviceBuffer<std::uint8_t>> pages_;
  std::vector<std::uint8_t*> free_;
  std::vector<std::vector<std::uint8_t*>> chunks_of_;
  std::vector<std::int64_t> lengths_;
  std::vector<std::uint8_t*> table_;  // [sequences, table_chunks()], and its copy on the device:
  bool table_changed_ = false;
  kernels::cuda::DeviceBuffer<std::uint8_t*> device_table_;
  kernels::cuda::DeviceBuffer<std::uint8_t> first_;  // [sequences][layer], where the first position is apart
};

}  // namespace a48::runtime
