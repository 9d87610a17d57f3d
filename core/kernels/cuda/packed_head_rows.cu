// Logits of a head of any class, the bits of the CPU's (formats.md 9). Few threads share a row of weights,
// each with the lanes of the sum that its 16-byte loads hold, so that all loads are wide and yet every lane
// adds in the order of the definition. Weights are read once for up to four tokens.
#include "core/base/fmath.h"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/quads.cuh"
#include "core/kernels/cuda/reduce.cuh"
#include "core/quant/pack.h"

namespace a48::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostTokens = 4;  // of a thread

/// Which row of weights a thread works on, and as which of its kShare threads; which token comes first.
template <int kShare>
struct Place {
  std::int64_t row, stored_row, token;  // a missing row repeats the last one and is not stored
  int part;

  __device__ Place(const HeadArgs& a, int tokens)
      : row(static_cast<std::int64_t>(blockIdx.x) * (kThreads / kShare) + thread_of_block() / kShare),
        stored_row(row < a.weight.rows ? row : a.weight.rows - 1),
        token(static_cast<std::int64_t>(blockIdx.y) * tokens),
        part(thread_of_block() % kShare) {}
  /// A missing token repeats the last one.
  __device__ std::int64_t token_at(const HeadArgs& a, int t) const {
    return token + t < a.logits.rows ? token + t : a.logits.rows - 1;
  }
  __device__ void store(const HeadArgs& a, int t, float logit) const {
    if (part == 0 && row < a.weight.rows && token + t < a.logits.rows) a.logits.row(token + t)[row] = logit;
  }
};

/// The lanes that follow in the sum's tree, from the thread `threads` further on.
template <int kCount>
__device__ void add_lanes_of(int threads, float (&lane)[kCount]) {
#pragma unroll
  for (int l = 0; l < kCount; ++l)
    lane[l] += __shfl_down_sync(kAllLanes, lane[l], static_cast<unsigned>(threads));
}
template <int kCount>
__device__ float fold_own_lanes(float (&lane)[kCount]) {
#pragma unroll
  for (int half = kCount / 2; half > 0; half /= 2)
#pragma unroll
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

// --- f32, bf16: a thread has eight neighbouring lanes of the 32.

constexpr int kFloatShare = 4, kFloatLanes = 32 / kFloatShare;

__device__ __forceinline__ void load_eight(const quant::Bf16* from, float (&w)[kFloatLanes]) {
  const uint4 pairs = load_once(from);
  const std::uint32_t pair[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    w[2 * i] = quant::from_bits(pair[i] << 16);
    w[2 * i + 1] = quant::from_bits(pair[i] & 0xffff0000u);
  }
}
__device__ __forceinline__ void load_eight(const float* from, float (&w)[kFloatLanes]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 bits = load_once(from + 4 * half);
    w[4 * half] = quant::from_bits(bits.x);
    w[4 * half + 1] = quant::from_bits(bits.y);
    w[4 * half + 2] = quant::from_bits(bits.z);
    w[4 * half + 3] = quant::from_bits(bits.w);
  }
}

template <typename T, int kTokens>
__global__ void __launch_bounds__(kThreads) float_kernel(HeadArgs a) {
  const Place<kFloatShare> place(a, kTokens);
  const T* weight = reinterpret_cast<const T*>(a.weight.stored.row(place.stored_row));
  const std::int64_t width = a.weight.cols, whole = width / kLanes * kLanes;
  float lane[kTokens][kFloatLanes] = {};
#pragma unroll 4
  for (std::int64_t k = place.part * kFloatLanes; k < whole; k += kLanes) {
    float w[kFloatLanes];
    load_eight(weight + k, w);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float* x = a.x.row(place.token_at(a, t)) + k;
      const float4 low = load_quad(x, 0), high = load_quad(x, 1);
      const float xs[kFloatLanes] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
      for (int l = 0; l < kFloatLanes; ++l) lane[t][l] = fmaf(xs[l], w[l], lane[t][l]);
    }
  }
#pragma unroll
  for (int l = 0; l < kFloatLanes; ++l) {
    const std::int64_t k = whole + place.part * kFloatLanes + l;
    if (k >= width) continue;
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      lane[t][l] = fmaf(a.x.row(place.token_at(a, t))[k], widened(weight[k]), lane[t][l]);
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    add_lanes_of(2, lane[t]);
    add_lanes_of(1, lane[t]);
    place.store(a, t, fold_own_lanes(lane[t]));
  }
}

// --- i8: one exact sum a row.

constexpr int kI8Share = 4;
constexpr int kPieceBytes = 16;  // of one load

template <int kTokens>
__global__ void __launch_bounds__(kThreads) i8_kernel(HeadArgs a) {
  const Place<kI8Share> place(a, kTokens);
  const std::uint8_t* weight = a.weight.stored.row(place.stored_row);
  int sum[kTokens] = {};
#pragma unroll 4
  for (std::int64_t k = place.part * kPieceBytes; k < code_row_bytes(a.weight.cols);
       k += kI8Share * kPieceBytes) {
    const uint4 w = load_once(weight + k);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const uint4 x = __ldg(reinterpret_cast<const uint4*>(a.codes.row(place.token_at(a, t)) + k));
      sum[t] = dp4a_s8_s8(w.x, x.x, sum[t]);
      sum[t] = dp4a_s8_s8(w.y, x.y, sum[t]);
      sum[t] = dp4a_s8_s8(w.z, x.z, sum[t]);
      sum[t] = dp4a_s8_s8(w.w, x.w, sum[t]);
    }
  }
  const float scale = a.weight.row_scale[place.stored_row];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    for (int other = 1; other < kI8Share; other *= 2) sum[t] += __shfl_xor_sync(kAllLanes, sum[t], other);
    place.store(a, t, static_cast<float>(sum[t]) * (a.step[place.token_at(a, t)] * scale));
  }
}

// --- i6, i4: a thread has four of the eight lanes of a group, in the low and the high halves of its bytes.

constexpr int kGroupShare = 2, kGroupLanes = 8 / kGroupShare;
constexpr int kBlockGroups = 4, kBlockInputs = kBlockGroups * static_cast<int>(quant::kHeadGroup);

/// The words of a block of 128 inputs that a thread needs.
template <HeadClass kClass>
struct Block {
  static constexpr bool kFour = kClass == HeadClass::i4;
  static constexpr int kBytes = kFour ? 64 : 96;
  static constexpr int kFactorBits = kFour ? 4 : 2;  // codes are made times 2^this
  std::uint32_t low[2][4], high[4];

  __device__ __forceinline__ void load(const std::uint8_t* block, int part) {
    take(low[0], block + part * kPieceBytes);
    take(low[1], block + 32 + part * kPieceBytes);
    if constexpr (!kFour) take(high, block + 64 + part * kPieceBytes);
  }
  /// Four codes q of a group, times 16 or 4, as signed bytes: u in the upper bits, its offset of half the
  /// range taken off by flipping the highest one.
  __device__ __forceinline__ std::uint32_t codes(int group, int word) const {
    const std::uint32_t nibbles = low[group / 2][word] >> 4 * (group % 2) & 0x0f0f0f0fu;
    if constexpr (kFour) return nibbles << 4 ^ 0x80808080u;
    return (nibbles << 2 | (high[word] >> 2 * group & 0x03030303u) << 6) ^ 0x80808080u;
  }

 private:
  __device__ __forceinline__ static void take(std::uint32_t (&to)[4], const std::uint8_t* from) {
    const uint4 words = load_once(from);
    to[0] = words.x;
    to[1] = words.y;
    to[2] = words.z;
    to[3] = words.w;
  }
};

template <HeadClass kClass, int kTokens>
__global__ void __launch_bounds__(kThreads) group_kernel(HeadArgs a) {
  const Place<kGroupShare> place(a, kTokens);
  const std::uint8_t* weight = a.weight.stored.row(place.stored_row);
  const std::uint16_t* scales = a.weight.group_scale.row(place.stored_row);
  const std::int64_t groups = quant::head_groups(a.weight.cols);
  float lane[kTokens][kGroupLanes] = {};
#pragma unroll 2
  for (std::int64_t b = 0; b * kBlockGroups < groups; ++b) {
    Block<kClass> block;
    block.load(weight + b * Block<kClass>::kBytes, place.part);
    const uint2 both = __ldg(reinterpret_cast<const uint2*>(scales + b * kBlockGroups));
    const std::uint32_t of_block[kBlockGroups] = {both.x & 0xffffu, both.x >> 16, both.y & 0xffffu,
                                                  both.y >> 16};
#pragma unroll
    for (int g = 0; g < kBlockGroups; ++g) {
      if (b * kBlockGroups + g >= groups) break;
      const float scale = quant::widen(quant::F16{static_cast<std::uint16_t>(of_block[g])});
      const std::int64_t k = b * kBlockInputs + g * quant::kHeadGroup + place.part * kPieceBytes;
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        const uint4 x = __ldg(reinterpret_cast<const uint4*>(a.codes.row(place.token_at(a, t)) + k));
        const std::uint32_t word[kGroupLanes] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int l = 0; l < kGroupLanes; ++l) {
          const int sum = dp4a_s8_s8(block.codes(g, l), word[l], 0) >> Block<kClass>::kFactorBits;
          lane[t][l] = fmaf(static_cast<float>(sum), scale, lane[t][l]);
        }
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    add_lanes_of(1, lane[t]);
    place.store(a, t, fold_own_lanes(lane[t]) * a.step[place.token_at(a, t)]);
  }
}

void start(const HeadArgs& args, Stream stream, int share, int tokens, void (*kernel)(HeadArgs)) {
  const std::int64_t block_rows = kThreads / share;
  launch("packed_head_rows", stream,
         {(args.weight.rows + block_rows - 1) / block_rows, (args.logits.rows + tokens - 1) / tokens,
          kThreads, 0},
         kernel, args);
}

template <int kTokens>
void start(const HeadArgs& args, Stream stream) {
  switch (args.weight.kind) {
    case HeadClass::f32:
      return start(args, stream, kFloatShare, kTokens, float_kernel<float, kTokens>);
    case HeadClass::bf16:
      return start(args, stream, kFloatShare, kTokens, float_kernel<quant::Bf16, kTokens>);
    case HeadClass::i8:
      return start(args, stream, kI8Share, kTokens, i8_kernel<kTokens>);
    case HeadClass::i6:
      return start(args, stream, kGroupShare, kTokens, group_kernel<HeadClass::i6, kTokens>);
    case HeadClass::i4:
      return start(args, stream, kGroupShare, kTokens, group_kernel<HeadClass::i4, kTokens>);
  }
}

}  // namespace

void packed_head_rows(const HeadArgs& args, Stream stream) {
  const bool floats = args.weight.kind == HeadClass::f32 || args.weight.kind == HeadClass::bf16;
  A48_ASSERT(
      args.logits.cols == args.weight.rows && (floats ? args.x.cols : args.codes.cols) == args.weight.cols,
      "logits", args.logits.cols, "weight", args.weight.rows, "x", args.weight.cols);
  A48_ASSERT(!floats || quads_are_aligned(args.x.data, args.x.stride, false), "stride of x", args.x.stride);
  A48_ASSERT(floats || args.codes.stride % kRowAlignment == 0, "stride of codes", args.codes.stride);
  if (args.logits.rows == 0) return;
  if (args.logits.rows == 1) {
    start<1>(args, stream);
  } else {
    start<kMostTokens>(args, stream);
  }
}

}  // namespace a48::kernels::cuda
