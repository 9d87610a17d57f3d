// Keys and values into the cache, queries for the attention over it: a warp takes one head of one row,
// rotates it where it is a query or a key, and writes what is kept of it. Formulas: core/quant/cache.h,
// math.h.
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cuda/cache_pages.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/rope.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kWordBytes = 4;
constexpr int kMostWords = static_cast<int>(quant::cache_code_bytes(4, kMostHeadDim)) / kWordBytes;

struct Parameters {
  CachePages pages;
  int q_bits;
  std::int64_t heads;
  float sigma;
  Rows<const float> q, k, v, cos, sin;
  Rows<float> query, factor;
  std::uint32_t* status;
};

/// The channels of a head that a lane has, and the largest magnitude of all of them.
struct Head {
  float x[kMostPieces];
  std::uint32_t largest;

  /// value(channel)
  template <typename Value>
  __device__ Head(std::int64_t head_dim, Value value) : largest(0) {
#pragma unroll
    for (int i = 0; i < kMostPieces; ++i) {
      const std::int64_t channel = lane_of_warp() + i * kWarpThreads;
      x[i] = channel < head_dim ? value(channel) : 0.0f;
      const std::uint32_t bits = quant::magnitude_bits(x[i]);
      largest = bits > largest ? bits : largest;
    }
    largest = __reduce_max_sync(kAllLanes, static_cast<unsigned>(largest));
  }
  /// visit(channel, value)
  template <typename Visit>
  __device__ void for_each(std::int64_t head_dim, Visit visit) const {
#pragma unroll
    for (int i = 0; i < kMostPieces; ++i) {
      const std::int64_t channel = lane_of_warp() + i * kWarpThreads;
      if (channel < head_dim) visit(channel, x[i]);
    }
  }
};

__device__ Head rotated_head(const float* x, const float* cos, const float* sin, std::int64_t head_dim) {
  const std::int64_t half = head_dim / 2;
  return Head(head_dim, [=](std::int64_t channel) {
    const std::int64_t i = channel < half ? channel : channel - half;
    const RotatedPair pair = rotated(x[i], x[i + half], cos[i], sin[i]);
    return channel < half ? pair.first : pair.second;
  });
}

/// Returns whether it is finite.
__device__ bool write_query(const Parameters& p, std::int64_t r, std::int64_t h, const Head& head) {
  const std::int64_t head_dim = p.pages.layout.head_dim;
  float* to = p.query.row(r) + h * head_dim;
  float factor = p.sigma;
  bool finite = true;
  if (p.q_bits == 16) {
    head.for_each(head_dim, [&](std::int64_t channel, float x) { to[channel] = x; });
  } else if (p.q_bits == 8) {
    constexpr quant::SchemeRow int8 = quant::row_of(quant::Scheme::int8);
    finite = head.largest < quant::kNonFiniteBits;
    const float statistic = quant::clamp_statistic(quant::from_bits(finite ? head.largest : 0));
    const float inv = quant::inv_of(int8, statistic);
    head.for_each(head_dim, [&](std::int64_t channel, float x) {
      to[channel] = finite ? static_cast<float>(quant::encode(int8, x, inv)) : 0.0f;
    });
    factor = quant::step_of(int8, statistic) * p.sigma;
  } else {
    const quant::F16 largest = quant::cache_gamma(head.largest);
    finite = quant::is_finite(largest);
    const float gamma = finite ? quant::widen(largest) : 0.0f;
    head.for_each(head_dim, [&](std::int64_t channel, float x) {
      to[channel] = static_cast<float>(quant::cache_level(4, quant::encode_cache(4, x, gamma)));
    });
    factor = quant::cache_step(4, gamma) * p.sigma;
  }
  if (lane_of_warp() == 0) p.factor.row(r)[h] = factor;
  return finite;
}

/// Codes of a head as bytes, put together in `words` of shared memory.
__device__ void write_codes(int bits, std::int64_t head_dim, const Head& head, float gamma,
                            std::uint32_t* words, std::uint8_t* to) {
  for (int w = lane_of_warp(); w < kMostWords; w += kWarpThreads) words[w] = 0;
  __syncwarp();
  head.for_each(head_dim, [&](std::int64_t channel, float x) {
    quant::for_each_part(quant::cache_place(bits, head_dim, channel), quant::encode_cache(bits, x, gamma),
                         [words](int byte, int value) {
                           atomicOr(words + byte / kWordBytes, static_cast<std::uint32_t>(value)
                                                                   << 8 * (byte % kWordBytes));
                         });
  });
  __syncwarp();
  for (int byte = lane_of_warp(); byte < quant::cache_code_bytes(bits, head_dim); byte += kWarpThreads)
    to[byte] = static_cast<std::uint8_t>(words[byte / kWordBytes] >> 8 * (byte % kWordBytes));
}

/// As row t of the stream; zeros where it is not finite. Returns whether it is.
__device__ bool write_row(int bits, std::int64_t head_dim, const Head& head, const quant::CacheStream& stream,
                          std::int64_t t, std::uint32_t* words) {
  std::uint8_t* row = stream.rows + t * stream.row_bytes;
  const quant::F16 largest = quant::cache_gamma(head.largest);
  const bool finite = bits == 32 ? head.largest < quant::kNonFiniteBits : quant::is_finite(largest);
  if (bits == 32) {
    float* to = reinterpret_cast<float*>(row);
    head.for_each(head_dim, [&](std::int64_t channel, float x) { to[channel] = finite ? x : 0.0f; });
  } else if (bits == 16) {
    quant::F16* to = reinterpret_cast<quant::F16*>(row);
    head.for_each(head_dim,
                  [&](std::int64_t channel, float x) { to[channel] = quant::to_f16(finite ? x : 0.0f); });
  } else {
    const quant::F16 gamma = finite ? largest : quant::F16{0};
    write_codes(bits, head_dim, head, quant::widen(gamma), words, row);
    if (lane_of_warp() == 0) stream.gamma[t] = gamma;
  }
  return finite;
}

__global__ void store_kernel(Parameters p) {
  const std::int64_t r = blockIdx.x;
  const std::int64_t unit = static_cast<std::int64_t>(blockIdx.y) * kWarps + warp_of_block();
  const CacheLayout& layout = p.pages.layout;
  const std::int64_t hd = layout.head_dim, kv_head = (unit - p.heads) % layout.kv_heads;
  if (unit >= p.heads + 2 * layout.kv_heads) return;  // a whole warp
  const std::int64_t position = p.pages.position[r];
  const float *cos = p.cos.row(position), *sin = p.sin.row(position);
  std::uint32_t status = kRowFinite;
  if (unit < p.heads) {
    const Head head = rotated_head(p.q.row(r) + unit * hd, cos, sin, hd);
    if (!write_query(p, r, unit, head)) status = kQueryNonFinite;
  } else {
    const bool is_key = unit < p.heads + layout.kv_heads;
    const float* v = p.v.row(r) + kv_head * hd;
    const Head head = is_key ? rotated_head(p.k.row(r) + kv_head * hd, cos, sin, hd)
                             : Head(hd, [v](std::int64_t channel) { return v[channel]; });
    const KeyOrValue which = is_key ? KeyOrValue::key : KeyOrValue::value;
    const std::int32_t sequence = p.pages.sequence[r];
    const bool apart = position == 0 && p.pages.first != nullptr;
    std::uint32_t* words = reinterpret_cast<std::uint32_t*>(shared_memory()) + warp_of_block() * kMostWords;
    const bool finite =
        apart ? write_row(layout.first_bits, hd, head, stream_of_first(p.pages, sequence, kv_head, which), 0,
                          words)
              : write_row(layout.bits, hd, head,
                          stream_of_chunk(p.pages, sequence, position / quant::kCacheChunk, kv_head, which),
                          position % quant::kCacheChunk, words);
    if (!finite) status = is_key ? kKeyNonFinite : kValueNonFinite;
  }
  if (status != kRowFinite && lane_of_warp() == 0) atomicOr(p.status + r, 1u << status);
}

}  // namespace

void store_cache_rows(const StoreCacheArgs& args, Stream stream) {
  const CacheLayout& layout = args.pages.layout;
  const std::int64_t heads = args.factor.cols;
  A48_ASSERT(layout.head_dim <= kMostHeadDim && layout.head_dim == 2 * args.cos.cols &&
                 args.q.cols == heads * layout.head_dim && args.k.cols == layout.kv_heads * layout.head_dim &&
                 args.v.cols == args.k.cols && args.query.cols == args.q.cols,
             "heads", heads, "of", layout.head_dim, "q", args.q.cols, "k", args.k.cols);
  const Parameters parameters{args.pages, args.q_bits, heads,       cpu::score_scale(layout.head_dim),
                              args.q,     args.k,      args.v,      args.cos,
                              args.sin,   args.query,  args.factor, args.status};
  launch("store_cache_rows", stream,
         {args.q.rows, (heads + 2 * layout.kv_heads + kWarps - 1) / kWarps, kWarps * kWarpThreads,
          kWarps * kMostWords * kWordBytes},
         store_kernel, parameters);
}

}  // namespace a48::kernels::cuda
