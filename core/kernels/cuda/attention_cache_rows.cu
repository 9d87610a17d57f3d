// Attention over stored keys and values (numerics.md 5.2), the bits of the CPU's. One block takes a chunk of
// 256 positions for up to four query heads that share a key/value head: scores by warps, one position each,
// in lane order; softmax, one warp a head; values by threads, one channel each, in ascending positions. Keys,
// then values, come through shared memory, a tile on its way while another is worked on. A second kernel
// merges the chunks. Places in the cache: cache_pages.cuh.
#include "core/base/fmath.h"
#include "core/kernels/cuda/cache_pages.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpThreads;
constexpr int kHeads = 4;  // query heads of a block
constexpr int kChunk = static_cast<int>(quant::kCacheChunk);
constexpr int kTileBytes = 16 * 1024;
constexpr int kTiles = 2;        // one on its way, one at work
constexpr int kPieceBytes = 16;  // of a copy

struct Parameters {
  CachePages pages;
  std::int64_t heads;
  Rows<const float> query, factor;
  int tile_rows;  // positions of a tile: a power of two
  std::int64_t chunks;
  double* sum;  // [R, H, chunks]
  float* max;   // [R, H, chunks]
  float* acc;   // [R, H, chunks, hd]
};

/// What stands for one channel in a row of the cache: where, and u of it.
template <int kBits>
struct Channel {
  std::int64_t index;
  quant::CachePlace place;  // of codes

  __device__ void set(std::int64_t head_dim, std::int64_t channel) {
    index = channel;
    if constexpr (kBits < 16) place = quant::cache_place(kBits, head_dim, channel);
  }
  __device__ float level(const std::uint8_t* row) const {
    if constexpr (kBits == 32) return reinterpret_cast<const float*>(row)[index];
    if constexpr (kBits == 16) return quant::widen(reinterpret_cast<const quant::F16*>(row)[index]);
    return static_cast<float>(quant::cache_level(kBits, quant::cache_code_at(place, row)));
  }
};

/// u of a channel of position 0 in its own slot.
__device__ float first_level(const CacheLayout& layout, const quant::CacheStream& slot,
                             std::int64_t channel) {
  return static_cast<float>(quant::cache_level(
      layout.first_bits, quant::cache_code_at(layout.first_bits, slot.rows, layout.head_dim, channel)));
}

/// The chunk of a block: its streams, its heads, its positions.
struct Work {
  std::int64_t row, chunk, first_head;
  int heads, positions;
  bool has_first;  // position 0 of the chunk stands in a slot of its own
  quant::CacheStream stream[2], first[2];

  __device__ Work(const Parameters& p, std::int64_t unit, std::int64_t chunk_) : chunk(chunk_) {
    const CacheLayout& layout = p.pages.layout;
    const std::int64_t group = p.heads / layout.kv_heads, parts = (group + kHeads - 1) / kHeads;
    const std::int64_t part = unit % parts, kv_head = unit / parts % layout.kv_heads;
    row = unit / parts / layout.kv_heads;
    first_head = kv_head * group + part * kHeads;
    heads = static_cast<int>(group - part * kHeads < kHeads ? group - part * kHeads : kHeads);
    const std::int64_t left = p.pages.position[row] + 1 - chunk * kChunk;
    positions = static_cast<int>(left < kChunk ? left : kChunk);
    has_first = chunk == 0 && p.pages.first != nullptr;
    if (positions <= 0) return;
    const std::int32_t sequence = p.pages.sequence[row];
    for (const KeyOrValue which : {KeyOrValue::key, KeyOrValue::value}) {
      stream[static_cast<int>(which)] = stream_of_chunk(p.pages, sequence, chunk, kv_head, which);
      if (has_first) first[static_cast<int>(which)] = stream_of_first(p.pages, sequence, kv_head, which);
    }
  }
  /// Where results of head h of the block go.
  __device__ std::int64_t place(const Parameters& p, int h) const {
    return (row * p.heads + first_head + h) * p.chunks + chunk;
  }
};

/// s of a position; 1 for floats.
__device__ float step_of_position(const CacheLayout& layout, const Work& work, KeyOrValue which, int t) {
  if (layout.bits >= 16) return 1.0f;
  const bool apart = work.has_first && t == 0;
  const quant::CacheStream& stream = (apart ? work.first : work.stream)[static_cast<int>(which)];
  return quant::cache_step(apart ? layout.first_bits : layout.bits, quant::widen(stream.gamma[t]));
}

/// Starts the copy of a tile; the last one is rounded up to whole pieces, which the chunk has.
__device__ void load_tile(const quant::CacheStream& stream, int first, int count, std::uint8_t* tile) {
  const std::int64_t row_bytes = stream.row_bytes;
  const std::uint8_t* from = stream.rows + first * row_bytes;
  for (std::int64_t at = std::int64_t{thread_of_block()} * kPieceBytes; at < count * row_bytes;
       at += kThreads * kPieceBytes)
    cp_async_16(tile + at, from + at, kPieceBytes);
}

/// score[h][t] = lane sum with fma of q_h and the u of position t.
template <int kBits, int kPieces>
__device__ void score_tile(const CacheLayout& layout, const Work& work, const std::uint8_t* tile, int first,
                           int count, const float* query, float (*score)[kChunk]) {
  const std::int64_t hd = layout.head_dim;
  Channel<kBits> channel[kPieces];
#pragma unroll
  for (int i = 0; i < kPieces; ++i) channel[i].set(hd, lane_of_warp() + i * kWarpThreads);
  const std::int64_t row_bytes = work.stream[0].row_bytes;
  for (int t = first + warp_of_block(); t < first + count; t += kWarps) {
    const std::uint8_t* row = tile + (t - first) * row_bytes;
    const bool apart = work.has_first && t == 0;
    float u[kPieces];
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const std::int64_t c = lane_of_warp() + i * kWarpThreads;
      u[i] = 0.0f;
      if (c < hd) u[i] = apart ? first_level(layout, work.first[0], c) : channel[i].level(row);
    }
    for (int h = 0; h < work.heads; ++h) {
      const float* q = query + h * kPieces * kWarpThreads;
      float dot = 0.0f;
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        const std::int64_t c = lane_of_warp() + i * kWarpThreads;
        if (c < hd) dot = fmaf(q[c], u[i], dot);
      }
      for (int half = kWarpThreads / 2; half > 0; half /= 2)
        dot += __shfl_down_sync(kAllLanes, dot, static_cast<unsigned>(half));
      if (lane_of_warp() == 0) score[h][t] = dot;
    }
  }
}

/// One warp: from the dot products of a head to the weights e_t·s_v of its values, with m and Z of the chunk.
__device__ void softmax_of_head(const Parameters& p, const Work& work, int h, float* score) {
  constexpr int kOfLane = kChunk / kWarpThreads;
  const CacheLayout& layout = p.pages.layout;
  const float factor = p.factor.row(work.row)[work.first_head + h];
  float mine[kOfLane] = {};
  float max = quant::from_bits(0xff800000u);  // -infinity
#pragma unroll
  for (int i = 0; i < kOfLane; ++i) {
    const int t = lane_of_warp() + i * kWarpThreads;
    if (t >= work.positions) continue;
    mine[i] = score[t] * factor * step_of_position(layout, work, KeyOrValue::key, t);
    max = fmaxf(max, mine[i]);
  }
  for (int half = kWarpThreads / 2; half > 0; half /= 2)
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, half));
#pragma unroll
  for (int i = 0; i < kOfLane; ++i) {
    const int t = lane_of_warp() + i * kWarpThreads;
    if (t < work.positions) score[t] = exp_f32(mine[i] - max);
  }
  // Lane l adds what it has just written itself.
  const double sum = lane_sum_of_warp<double>(
      work.positions, [score](std::int64_t t) { return static_cast<double>(score[t]); });
  for (int t = lane_of_warp(); t < work.positions; t += kWarpThreads)
    score[t] *= step_of_position(layout, work, KeyOrValue::value, t);
  if (lane_of_warp() == 0) {
    p.max[work.place(p, h)] = max;
    p.sum[work.place(p, h)] = sum;
  }
}

/// A thread's channel and heads: head `first`, first + stride, …
struct ValueOwner {
  std::int64_t channel;
  int first, stride;
};

template <int kBits>
__device__ void value_tile(const CacheLayout& layout, const Work& work, const ValueOwner& own,
                           const std::uint8_t* tile, int first, int count, const float (*weight)[kChunk],
                           const Channel<kBits>& channel, float (&acc)[kHeads]) {
  const std::int64_t row_bytes = work.stream[1].row_bytes;
#pragma unroll 4
  for (int t = first; t < first + count; ++t) {
    const float u = work.has_first && t == 0 ? first_level(layout, work.first[1], own.channel)
                                             : channel.level(tile + (t - first) * row_bytes);
#pragma unroll
    for (int i = 0; i < kHeads; ++i) {
      const int h = own.first + i * own.stride;
      if (h < work.heads) acc[i] = fmaf(weight[h][t], u, acc[i]);
    }
  }
}

template <int kBits, int kPieces>
__global__ void __launch_bounds__(kThreads) attention_kernel(Parameters p) {
  constexpr int kWidth = kPieces * kWarpThreads;  // channels, rounded up
  const Work work(p, blockIdx.x, blockIdx.y);
  if (work.positions <= 0) return;  // the whole block
  std::uint8_t* tiles = shared_memory();
  float(*score)[kChunk] = reinterpret_cast<float(*)[kChunk]>(tiles + kTiles * kTileBytes);
  float* query = reinterpret_cast<float*>(score + kHeads);
  const CacheLayout& layout = p.pages.layout;
  const std::int64_t hd = layout.head_dim;

  const int of_stream = (work.positions + p.tile_rows - 1) / p.tile_rows;  // tiles of the keys
  const auto first_of = [&](int tile) { return tile % of_stream * p.tile_rows; };
  const auto count_of = [&](int tile) {
    const int left = work.positions - first_of(tile);
    return left < p.tile_rows ? left : p.tile_rows;
  };
  const auto load = [&](int tile) {
    load_tile(work.stream[tile / of_stream], first_of(tile), count_of(tile),
              tiles + tile % kTiles * kTileBytes);
  };
  load(0);
  cp_async_commit();
  for (int i = thread_of_block(); i < work.heads * kWidth; i += kThreads) {
    const int h = i / kWidth, c = i % kWidth;
    if (c < hd) query[i] = p.query.row(work.row)[(work.first_head + h) * hd + c];
  }
  const int thread = thread_of_block();
  const ValueOwner own{thread % kWidth, thread / kWidth, kThreads / kWidth};
  const bool owns = own.first < own.stride && own.channel < hd;
  Channel<kBits> channel;
  channel.set(hd, owns ? own.channel : 0);
  float acc[kHeads] = {};

  for (int tile = 0; tile < 2 * of_stream; ++tile) {
    if (tile + 1 < 2 * of_stream) load(tile + 1);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();  // the tile is here for all threads
    const std::uint8_t* here = tiles + tile % kTiles * kTileBytes;
    if (tile < of_stream) {
      score_tile<kBits, kPieces>(layout, work, here, first_of(tile), count_of(tile), query, score);
    } else if (owns) {
      value_tile<kBits>(layout, work, own, here, first_of(tile), count_of(tile), score, channel, acc);
    }
    __syncthreads();  // its place can be filled again
    if (tile + 1 != of_stream) continue;
    if (warp_of_block() < work.heads) softmax_of_head(p, work, warp_of_block(), score[warp_of_block()]);
    // The barrier before the first tile of the values makes the weights known to all.
  }
  for (int i = 0; i < kHeads; ++i) {
    const int h = own.first + i * own.stride;
    if (owns && h < work.heads) p.acc[work.place(p, h) * hd + own.channel] = acc[i];
  }
}

/// One block a row and head, one thread a channel.
__global__ void merge_kernel(Parameters p, Rows<float> y) {
  const std::int64_t row = blockIdx.x, head = blockIdx.y, hd = p.pages.layout.head_dim;
  const std::int64_t chunks = (p.pages.position[row] + kChunk) / kChunk;
  const std::int64_t first = (row * p.heads + head) * p.chunks;
  if (thread_of_block() >= hd) return;
  float max = p.max[first];
  for (std::int64_t c = 1; c < chunks; ++c) max = fmaxf(max, p.max[first + c]);
  float value = 0.0f;
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c) {
    const float weight = exp_f32(p.max[first + c] - max);
    sum += static_cast<double>(weight) * p.sum[first + c];
    value = fmaf(weight, p.acc[(first + c) * hd + thread_of_block()], value);
  }
  y.row(row)[head * hd + thread_of_block()] = value * static_cast<float>(1.0 / sum);
}

template <int kBits>
auto* kernel_for(std::int64_t head_dim) {
  return head_dim <= 64    ? attention_kernel<kBits, 64 / kWarpThreads>
         : head_dim <= 128 ? attention_kernel<kBits, 128 / kWarpThreads>
                           : attention_kernel<kBits, kMostPieces>;
}

/// A power of two, so that tiles are whole pieces.
int tile_rows(const CacheLayout& layout) {
  int rows = kChunk;
  const std::int64_t row_bytes = quant::cache_row_bytes(layout.bits, layout.head_dim);
  while (rows * row_bytes > kTileBytes) rows /= 2;
  return rows;
}
static_assert(kTileBytes / quant::cache_row_bytes(32, kMostHeadDim) >= kPieceBytes);

}  // namespace

void attention_cache_rows(const AttentionCacheArgs& args, Stream stream) {
  const CacheLayout& layout = args.pages.layout;
  const std::int64_t rows = args.query.rows, group = args.heads / layout.kv_heads;
  A48_ASSERT(layout.head_dim <= kMostHeadDim && args.heads % layout.kv_heads == 0 &&
                 args.query.cols == args.heads * layout.head_dim && args.y.cols == args.query.cols &&
                 args.factor.cols == args.heads,
             "heads", args.heads, "of", layout.head_dim, "queries", args.query.cols);
  const std::int64_t places = rows * args.heads * args.chunks;
  double* sum = static_cast<double*>(args.scratch);
  float* max = reinterpret_cast<float*>(sum + places);
  const Parameters parameters{args.pages,  args.heads, args.query, args.factor, tile_rows(layout),
                              args.chunks, sum,        max,        max + places};
  const Grid grid{rows * layout.kv_heads * ((group + kHeads - 1) / kHeads), args.chunks, kThreads,
                  kTiles * kTileBytes + kHeads * (kChunk + kMostHeadDim) * sizeof(float)};
  launch("attention_cache_rows", stream, grid,
         layout.bits == 32   ? kernel_for<32>(layout.head_dim)
         : layout.bits == 16 ? kernel_for<16>(layout.head_dim)
         : layout.bits == 4  ? kernel_for<4>(layout.head_dim)
                             : kernel_for<3>(layout.head_dim),
         parameters);
  launch("attention_cache_rows: merge", stream,
         {rows, args.heads, static_cast<int>(round_up(layout.head_dim, kWarpThreads)), 0}, merge_kernel,
         parameters, args.y);
}

}  // namespace a48::kernels::cuda
