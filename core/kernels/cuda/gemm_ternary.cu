// G3: codes [R, K] times ternary weights [N, K] on the int8 tensor cores, int32 sums, scales in the epilogue.
// Instructions and fragments: intrinsics.cuh; scales: epilogue.cuh.
//
// A block makes a tile of y, 64 inputs at a time: cp.async fills the next stages of a ring in shared memory
// while ldmatrix and mma work on the oldest. Weights are int8 (the training cache), or 2-bit words that
// become fragments in registers with a shift and a mask, as c = t + 1; the sum of the input codes takes the 1
// away.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/epilogue.cuh"
#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/reduce.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpThreads;
constexpr int kStages = 4;
constexpr int kInputs = 64;                // per stage
constexpr int kPiece = 16;                 // bytes of a copy
constexpr int kPieces = kInputs / kPiece;  // of a row of int8 codes; a row of packed weights is one
constexpr int kStepInputs = 32, kSteps = kInputs / kStepInputs;  // of one mma

/// How the 8 warps share a tile of kRows × kCols.
template <int kRows_, int kCols_, int kWarpsDown>
struct Tile {
  static constexpr int kRows = kRows_, kCols = kCols_;
  static constexpr int kWarpsAcross = kWarps / kWarpsDown;
  static constexpr int kWarpRows = kRows / kWarpsDown, kWarpCols = kCols / kWarpsAcross;
  static constexpr int kDown = kWarpRows / 16, kAcross = kWarpCols / 8;  // mma tiles of a warp
  static_assert(kInputs / kWordInputs * 4 == kPiece);
  static_assert(kWarpRows % 8 == 0 && kWarpCols % 8 == 0);
  static_assert(kDown >= 1 && kAcross % 2 == 0, "ldmatrix x4 gives the weights of two mma tiles");
};
using WideTile = Tile<128, 128, 2>;
using FlatTile = Tile<16, 128, 1>;  // batches up to 16 tokens

struct Parameters {
  Rows<const std::int8_t> codes;  // [R, K]
  const std::int8_t* weight;      // [N, K] or
  const std::uint32_t* words;     // [N, K/16]
  std::int64_t weight_stride;     // of either, in its elements
  std::int64_t outputs;
  const float* step;
  const std::int32_t* code_sum;
  Scales scales;
  std::int64_t y_stride;
  bool pairs;  // y takes two elements at once
};

/// Piece p of row r of a tile of 64-byte rows. The eight rows that ldmatrix reads together fall on different
/// banks: two rows are 128 bytes, and each pair of rows has its pieces in another order.
A48_INLINE constexpr int place_of_piece(int r, int p) {
  return r * kInputs + ((p ^ (r / 2 % kPieces)) * kPiece);
}
static_assert(
    [] {
      for (int p = 0; p < kPieces; ++p) {
        unsigned banks = 0;  // groups of four
        for (int r = 0; r < 8; ++r) banks |= 1u << (place_of_piece(r, p) / kPiece % 8);
        if (banks != 0xff) return false;
      }
      return true;
    }(),
    "eight rows, eight groups of banks");

/// Bytes of a stage of one output's weights.
template <bool kPacked>
constexpr int kColBytes = kPacked ? kPiece : kInputs;

template <typename T, bool kPacked>
struct Stage {
  alignas(16) std::int8_t codes[T::kRows * kInputs];
  alignas(16) std::int8_t weight[T::kCols * kColBytes<kPacked>];
};

/// Starts the copies of one stage; rows that do not exist become zeros.
template <typename T, bool kPacked>
__device__ void load_stage(const Parameters& p, std::int64_t row, std::int64_t col, std::int64_t input,
                           Stage<T, kPacked>& stage) {
  for (int i = thread_of_block(); i < T::kRows * kPieces; i += kThreads) {
    const int r = i / kPieces, piece = i % kPieces;
    const bool exists = row + r < p.codes.rows;
    const std::int8_t* from = p.codes.row(exists ? row + r : 0) + input + piece * kPiece;
    cp_async_16(stage.codes + place_of_piece(r, piece), from, exists ? kPiece : 0);
  }
  if constexpr (kPacked) {
    for (int n = thread_of_block(); n < T::kCols; n += kThreads) {
      const bool exists = col + n < p.outputs;
      const std::uint32_t* from = p.words + (exists ? col + n : 0) * p.weight_stride + input / kWordInputs;
      cp_async_16(stage.weight + n * kPiece, from, exists ? kPiece : 0);
    }
  } else {
    for (int i = thread_of_block(); i < T::kCols * kPieces; i += kThreads) {
      const int n = i / kPieces, piece = i % kPieces;
      const bool exists = col + n < p.outputs;
      const std::int8_t* from = p.weight + (exists ? col + n : 0) * p.weight_stride + input + piece * kPiece;
      cp_async_16(stage.weight + place_of_piece(n, piece), from, exists ? kPiece : 0);
    }
  }
}

/// The weight fragments of two neighbouring mma tiles for the mma step `s` of a stage; `weight` is where the
/// first of their 16 columns starts.
template <bool kPacked>
__device__ __forceinline__ void load_weights(const std::int8_t* weight, int s, std::uint32_t (&b)[2][2]) {
  const int lane = lane_of_warp();
  if constexpr (kPacked) {
    const int group = lane / 4, shift = 2 * (lane % 4);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint2 words = reinterpret_cast<const uint2*>(weight + (8 * j + group) * kPiece)[s];
      b[j][0] = words.x >> shift & 0x03030303u;
      b[j][1] = words.y >> shift & 0x03030303u;
    }
  } else {
    std::uint32_t four[4];
    load_matrix_x4(four, weight + place_of_piece(lane / 16 * 8 + lane % 8, 2 * s + lane / 8 % 2));
    b[0][0] = four[0];
    b[0][1] = four[1];
    b[1][0] = four[2];
    b[1][1] = four[3];
  }
}

/// `codes` and `weight` are where the rows and columns of this warp start, multiples of 8, so that
/// place_of_piece is the same from there.
template <typename T, bool kPacked>
__device__ __forceinline__ void multiply_stage(const std::int8_t* codes, const std::int8_t* weight,
                                               int (&acc)[T::kDown][T::kAcross][4]) {
  const int lane = lane_of_warp();
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    std::uint32_t b[T::kAcross / 2][2][2];
#pragma unroll
    for (int j = 0; j < T::kAcross / 2; ++j)
      load_weights<kPacked>(weight + 16 * j * kColBytes<kPacked>, s, b[j]);
    const std::int8_t* piece = codes + place_of_piece(lane % 16, 2 * s + lane / 16);
#pragma unroll
    for (int i = 0; i < T::kDown; ++i) {
      std::uint32_t a[4];
      load_matrix_x4(a, piece + 16 * i * kInputs);
#pragma unroll
      for (int j = 0; j < T::kAcross; ++j) mma_m16n8k32_s8(acc[i][j], a, b[j / 2][j % 2]);
    }
  }
}

/// Element (g, 2t), its right neighbour, and the two of row g + 8, of each mma tile; rows outside, so that
/// the scales of the columns are read once.
template <typename T, bool kPacked, typename Y>
__device__ __forceinline__ void write_tile(const Parameters& p, Y* y, std::int64_t row, std::int64_t col,
                                           const int (&acc)[T::kDown][T::kAcross][4]) {
  const std::int64_t first_row = row + lane_of_warp() / 4, first_col = col + lane_of_warp() % 4 * 2;
  float alpha[T::kAcross][2];
#pragma unroll
  for (int j = 0; j < T::kAcross; ++j)
#pragma unroll
    for (int i = 0; i < 2; ++i) alpha[j][i] = p.scales.of(first_col + 8 * j + i);
#pragma unroll
  for (int half = 0; half < 2 * T::kDown; ++half) {
    const std::int64_t r = first_row + 8 * half;
    if (r >= p.codes.rows) break;
    const int surplus = kPacked ? p.code_sum[r] : 0;
    const float step = p.step[r];
    Y* to = y + r * p.y_stride + first_col;
#pragma unroll
    for (int j = 0; j < T::kAcross; ++j, to += 8) {
      const std::int64_t n = first_col + 8 * j;
      const int* sums = &acc[half / 2][j][half % 2 * 2];
      const float here = quant::epilogue(sums[0] - surplus, step, alpha[j][0]);
      const float next = quant::epilogue(sums[1] - surplus, step, alpha[j][1]);
      if (p.pairs && n + 1 < p.outputs) {
        store_pair(to, here, next);
      } else {
        if (n < p.outputs) store(to, here);
        if (n + 1 < p.outputs) store(to + 1, next);
      }
    }
  }
}

template <typename T, bool kPacked, typename Y>
__global__ void __launch_bounds__(kThreads, 2) gemm_kernel(Parameters p, Y* y) {
  using OneStage = Stage<T, kPacked>;
  OneStage* ring = reinterpret_cast<OneStage*>(shared_memory());
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * T::kRows;
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.y) * T::kCols;
  const int stages = static_cast<int>((p.codes.cols + kInputs - 1) / kInputs);
  const int warp = warp_of_block();
  const int first_row = warp / T::kWarpsAcross * T::kWarpRows,
            first_col = warp % T::kWarpsAcross * T::kWarpCols;

  int acc[T::kDown][T::kAcross][4] = {};
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < stages) load_stage<T, kPacked>(p, row, col, s * kInputs, ring[s]);
    cp_async_commit();
  }
#pragma unroll 1
  for (int s = 0; s < stages; ++s) {
    cp_async_wait<kStages - 2>();  // stage s is here,
    __syncthreads();               // for all threads, and all are done with stage s - 1, whose place is next
    const int next = s + kStages - 1;
    if (next < stages)
      load_stage<T, kPacked>(p, row, col, static_cast<std::int64_t>(next) * kInputs, ring[next % kStages]);
    cp_async_commit();
    const OneStage& stage = ring[s % kStages];
    multiply_stage<T, kPacked>(stage.codes + first_row * kInputs,
                               stage.weight + first_col * kColBytes<kPacked>, acc);
  }
  write_tile<T, kPacked>(p, y, row + first_row, col + first_col, acc);
}

template <typename T, bool kPacked, typename Y>
void start(const GemmArgs& args, const Parameters& parameters, Stream stream) {
  const Grid grid{(args.codes.rows + T::kRows - 1) / T::kRows,
                  (args.weight.outputs + T::kCols - 1) / T::kCols, kThreads,
                  kStages * sizeof(Stage<T, kPacked>)};
  launch("gemm_ternary", stream, grid, gemm_kernel<T, kPacked, Y>, parameters, static_cast<Y*>(args.y.data));
}

template <bool kPacked, typename Y>
void start(const GemmArgs& args, const Parameters& parameters, Stream stream) {
  if (args.codes.rows <= FlatTile::kRows) {
    start<FlatTile, kPacked, Y>(args, parameters, stream);
  } else {
    start<WideTile, kPacked, Y>(args, parameters, stream);
  }
}

bool takes_pairs(const FloatRows& y) {
  const std::uintptr_t pair_bytes = y.is_bf16 ? 4 : 8;
  return y.stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(y.data) % pair_bytes == 0;
}

template <typename Y>
__global__ void scale_kernel(Rows<const std::int32_t> acc, const float* step, Scales scales, Y* y,
                             std::int64_t y_stride) {
  const std::int64_t r = row_of_thread(), n = item_of_thread();
  if (n >= acc.cols) return;
  store(y + r * y_stride + n, quant::epilogue(acc.row(r)[n], step[r], scales.of(n)));
}

}  // namespace

void gemm_ternary(const GemmArgs& args, Stream stream) {
  const TernaryOperand& weight = args.weight;
  const bool packed = weight.words.data != nullptr;
  const std::int64_t stride = packed ? weight.words.stride : weight.codes.stride;
  A48_ASSERT(operand_is_whole(weight) && args.codes.cols == weight.inputs && args.y.rows == args.codes.rows &&
                 args.y.cols == weight.outputs,
             "codes", args.codes.rows, "x", args.codes.cols, "weight", weight.outputs, "x", weight.inputs);
  A48_ASSERT(args.codes.stride % kRowAlignment == 0 && stride % (packed ? 16 : kRowAlignment) == 0,
             "strides of codes and weight", args.codes.stride, stride);
  A48_ASSERT(!packed || args.code_sum != nullptr, "packed weights need the sums of the codes");
  const Parameters parameters{args.codes,     weight.codes.data,  weight.words.data, stride,
                              weight.outputs, args.step,          args.code_sum,     scales_of(weight),
                              args.y.stride,  takes_pairs(args.y)};
  if (packed) {
    if (args.y.is_bf16) {
      start<true, quant::Bf16>(args, parameters, stream);
    } else {
      start<true, float>(args, parameters, stream);
    }
  } else {
    if (args.y.is_bf16) {
      start<false, quant::Bf16>(args, parameters, stream);
    } else {
      start<false, float>(args, parameters, stream);
    }
  }
}

void scale_rows(const ScaleArgs& args, Stream stream) {
  A48_ASSERT(operand_is_whole(args.weight) && args.acc.cols == args.weight.outputs, "sums", args.acc.rows,
             "x", args.acc.cols);
  const Grid grid = grid_of_items(args.acc.rows, args.acc.cols);
  const Scales scales = scales_of(args.weight);
  if (args.y.is_bf16) {
    launch("scale_rows", stream, grid, scale_kernel<quant::Bf16>, args.acc, args.step, scales,
           static_cast<quant::Bf16*>(args.y.data), args.y.stride);
  } else {
    launch("scale_rows", stream, grid, scale_kernel<float>, args.acc, args.step, scales,
           static_cast<float*>(args.y.data), args.y.stride);
  }
}

}  // namespace a48::kernels::cuda
