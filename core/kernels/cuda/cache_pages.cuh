// Where the keys and values of a head lie in the pages of a cache, and the channels of a head over a warp.
// What stands there: core/quant/cache.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/reduce.cuh"
#include "core/kernels/cuda/table_cuda.h"
#include "core/quant/cache.h"

namespace a48::kernels::cuda {

/// Lane l has the channels l + 32i: as many as the longest head needs.
inline constexpr int kMostPieces = kMostHeadDim / kWarpThreads;

enum class KeyOrValue { key = 0, value = 1 };

__device__ inline std::int64_t stream_index(std::int64_t kv_head, KeyOrValue which) {
  return 2 * kv_head + static_cast<std::int64_t>(which);
}

/// Of the positions 256·chunk … of a sequence.
__device__ inline quant::CacheStream stream_of_chunk(const CachePages& p, std::int32_t sequence,
                                                     std::int64_t chunk, std::int64_t kv_head,
                                                     KeyOrValue which) {
  std::uint8_t* page = p.chunk[sequence * p.chunks + chunk] + p.offset;
  return quant::cache_stream(p.layout.bits, p.layout.head_dim, quant::kCacheChunk,
                             page + stream_index(kv_head, which) * stream_bytes(p.layout));
}

/// Of position 0, where that has a slot of its own.
__device__ inline quant::CacheStream stream_of_first(const CachePages& p, std::int32_t sequence,
                                                     std::int64_t kv_head, KeyOrValue which) {
  std::uint8_t* slot = p.first + sequence * p.first_stride;
  return quant::cache_stream(p.layout.first_bits, p.layout.head_dim, 1,
                             slot + stream_index(kv_head, which) * first_stream_bytes(p.layout));
}

}  // namespace a48::kernels::cuda
