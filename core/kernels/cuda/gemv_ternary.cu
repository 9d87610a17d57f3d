// G4: one token times 2-bit weights. A warp makes a few outputs; each lane reads 16 bytes of weights, 64
// inputs, at a time. Weights are masked, not shifted: the four bit pairs of a word go to four sums, of c, 4c,
// 16c and 64c, and the factors are taken out at the end, where they divide exactly. Layout: layout.h.
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/epilogue.cuh"
#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/reduce.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpThreads;
constexpr int kWarpOutputs = 2;   // of one warp at a time: they share the loads of the input
constexpr int kChunkInputs = 64;  // of one 16-byte load of weights
constexpr int kChunkWords = 4;
constexpr int kPieceBytes = 16;  // of input codes: those of one word
constexpr std::int64_t kMostInputs = std::int64_t{1} << 17;

/// Where piece j of chunk c of the input stands in shared memory: pieces j of 32 chunks side by side, so that
/// the lanes of a warp read neighbouring 16 bytes.
__device__ std::int64_t place_of_piece(std::int64_t c, int j) {
  const std::int64_t group = c / kWarpThreads;
  return (group * kChunkWords + j) * kWarpThreads + c % kWarpThreads;
}

struct Sums {
  int pair[4] = {0, 0, 0, 0};

  __device__ void add(std::uint32_t word, const uint4& codes) {
    pair[0] = dp4a_u8_s8(word & 0x03030303u, codes.x, pair[0]);
    pair[1] = dp4a_u8_s8(word & 0x0c0c0c0cu, codes.y, pair[1]);
    pair[2] = dp4a_u8_s8(word & 0x30303030u, codes.z, pair[2]);
    pair[3] = dp4a_u8_s8(word & 0xc0c0c0c0u, codes.w, pair[3]);
  }
  /// Σ c·code. The sums are multiples of 1, 4, 16, 64.
  __device__ int total() const { return pair[0] + pair[1] / 4 + pair[2] / 16 + pair[3] / 64; }
};
// The largest sum of one pair: 64·2·128 per input, a quarter of the inputs.
static_assert(kMostInputs / 4 * 64 * 2 * 128 <= std::int64_t{1} << 31, "int32 holds the sums of all lanes");

struct Parameters {
  const std::int8_t* codes;
  const float* step;
  const std::int32_t* code_sum;
  Rows<const std::uint32_t> words;
  std::int64_t inputs;
  Scales scales;
  float* y;
  bool accumulate;
};

__global__ void __launch_bounds__(kThreads) gemv_kernel(Parameters p) {
  uint4* input = reinterpret_cast<uint4*>(shared_memory());
  const std::int64_t chunks = (p.inputs + kChunkInputs - 1) / kChunkInputs;
  for (std::int64_t i = thread_of_block(); i < chunks * kChunkWords; i += kThreads)
    input[place_of_piece(i / kChunkWords, static_cast<int>(i % kChunkWords))] =
        __ldg(reinterpret_cast<const uint4*>(p.codes) + i);
  __syncthreads();

  const std::int64_t first =
      (static_cast<std::int64_t>(blockIdx.x) * kWarps + warp_of_block()) * kWarpOutputs;
  if (first >= p.words.rows) return;  // a whole warp
  const std::uint32_t* row[kWarpOutputs];
  for (int i = 0; i < kWarpOutputs; ++i)  // a missing output repeats the last one and is not stored
    row[i] = p.words.row(first + i < p.words.rows ? first + i : p.words.rows - 1);

  Sums sums[kWarpOutputs];
#pragma unroll 2
  for (std::int64_t c = lane_of_warp(); c < chunks; c += kWarpThreads) {
    uint4 weight[kWarpOutputs];
#pragma unroll
    for (int i = 0; i < kWarpOutputs; ++i) weight[i] = load_once(row[i] + c * kChunkWords);
    const uint4 codes[kChunkWords] = {input[place_of_piece(c, 0)], input[place_of_piece(c, 1)],
                                      input[place_of_piece(c, 2)], input[place_of_piece(c, 3)]};
#pragma unroll
    for (int i = 0; i < kWarpOutputs; ++i) {
      sums[i].add(weight[i].x, codes[0]);
      sums[i].add(weight[i].y, codes[1]);
      sums[i].add(weight[i].z, codes[2]);
      sums[i].add(weight[i].w, codes[3]);
    }
  }
#pragma unroll
  for (int i = 0; i < kWarpOutputs; ++i) {
    const int sum = __reduce_add_sync(kAllLanes, sums[i].total());
    if (lane_of_warp() == 0 && first + i < p.words.rows) {
      float& y = p.y[first + i];
      const float product = quant::epilogue(sum - *p.code_sum, *p.step, p.scales.of(first + i));
      y = p.accumulate ? y + product : product;
    }
  }
}

}  // namespace

void gemv_ternary(const GemvArgs& args, Stream stream) {
  const TernaryOperand& weight = args.weight;
  A48_ASSERT(operand_is_whole(weight) && weight.words.data != nullptr &&
                 weight.words.rows == weight.outputs && weight.words.stride % 16 == 0 &&
                 weight.inputs <= kMostInputs,
             "weight", weight.outputs, "x", weight.inputs, "stride", weight.words.stride);
  constexpr std::int64_t kBlockOutputs = kWarps * kWarpOutputs;
  constexpr std::int64_t kGroupBytes =
      kWarpThreads * kChunkWords * kPieceBytes;  // shared memory of 32 chunks
  const std::int64_t groups =
      (weight.inputs + kWarpThreads * kChunkInputs - 1) / (kWarpThreads * kChunkInputs);
  const Parameters parameters{args.codes,    args.step,         args.code_sum, weight.words,
                              weight.inputs, scales_of(weight), args.y,        args.accumulate};
  launch("gemv_ternary", stream,
         {(weight.outputs + kBlockOutputs - 1) / kBlockOutputs, 1, kThreads,
          static_cast<std::size_t>(groups * kGroupBytes)},
         gemv_kernel, parameters);
}

}  // namespace a48::kernels::cuda
