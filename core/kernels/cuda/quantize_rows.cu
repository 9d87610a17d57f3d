// G1 with G2: norm, statistic, TopK, codes of a row by one block, the row in shared memory between. Formulas:
// core/quant/math.h; TopK: radix_select.cuh.
//
// The fp64 sums (norm, mean) are done by one warp in lane order, so that every bit equals the CPU's: about
// K/32 dependent additions, hidden behind the loads of the other blocks of the multiprocessor.
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/row_in_shared.cuh"
#include "core/quant/glu.h"
#include "core/quant/math.h"

namespace a48::kernels::cuda {
namespace {

using quant::SchemeRow;
using quant::Statistic;

struct Scratch {
  PerWarp<std::uint32_t> max;
  PerWarp<std::int32_t> sum;
  float inverse_rms, mean;
  RadixScratch radix;
};
constexpr std::size_t kScratchBytes = (sizeof(Scratch) + 15) / 16 * 16;

template <typename T>
struct Parameters {
  const T *x, *up;
  std::int64_t x_stride, up_stride;
  GluKind glu;
  const float* gain;
  double eps;
  SchemeRow scheme;
  std::int64_t width, keep;
  Rows<std::int8_t> codes;
  Rows<std::uint8_t> packed;
  float* step;
  std::int32_t* code_sum;
  std::uint8_t* status;
  float* inverse_rms;
  Counter *zeros, *closed;
  bool aligned;  // rows of x, up and gain start at multiples of four elements
};

/// act(x) ⊙ up in place, where there is an up.
template <typename T>
__device__ void multiply_gate(const Parameters<T>& p, std::int64_t r, float4* row) {
  const T* up = p.up + r * p.up_stride;
  const bool relu2 = p.glu == GluKind::relu2;
  int closed = 0;
  const auto product = [&](float gate, float u) {
    closed += relu2 ? !(gate > 0.0f) : gate == 0.0f;
    return relu2 ? quant::relu2_glu(gate, u) : quant::silu_glu(gate, u);
  };
  for_own_quads(quads_of(p.width), [&](std::int64_t q) {
    const float4 x = row[q], u = load_quad_of(up, p.width, q, p.aligned);
    row[q] = {product(x.x, u.x), product(x.y, u.y), product(x.z, u.z), product(x.w, u.w)};
    const std::int64_t behind = q * kQuad + kQuad - p.width;  // places that are no gates
    if (behind > 0) closed -= static_cast<int>(behind);
  });
  if (p.closed != nullptr) add_of_warp(closed, p.closed);
}

/// y = (x·r)·gain in place, each thread its own quads; returns r.
__device__ float normalize(float4* row, std::int64_t width, const float* gain, double eps, bool aligned,
                           Scratch& scratch) {
  const float r = inverse_rms_of_row(row, width, eps, scratch.inverse_rms);
  for_own_quads(quads_of(width), [&](std::int64_t q) {
    const float4 x = row[q], g = load_quad_of(gain, width, q, aligned);
    row[q] = {(x.x * r) * g.x, (x.y * r) * g.y, (x.z * r) * g.z, (x.w * r) * g.w};
  });
  return r;
}

/// Unclamped. The whole block; all threads get it.
__device__ float statistic_of(Statistic statistic, const float4* row, std::int64_t width, Scratch& scratch) {
  if (statistic == Statistic::absmax) {
    std::uint32_t largest = 0;
    for_own_quads(quads_of(width), [&](std::int64_t q) {
      const float4 x = row[q];
      for (const float value : {x.x, x.y, x.z, x.w}) {
        const std::uint32_t bits = quant::magnitude_bits(value);
        largest = bits > largest ? bits : largest;
      }
    });
    return quant::from_bits(max_of_block(largest, scratch.max));
  }
  __syncthreads();
  if (warp_of_block() == 0) {
    const float* x = reinterpret_cast<const float*>(row);
    const double sum =
        lane_sum_of_warp<double>(width, [x](std::int64_t k) { return fabs(static_cast<double>(x[k])); });
    if (lane_of_warp() == 0) scratch.mean = static_cast<float>(sum / static_cast<double>(width));
  }
  __syncthreads();
  return statistic == Statistic::absmean2 ? 2.0f * scratch.mean : scratch.mean;
}

/// Sets the values that TopK drops to 0, whose code is 0.
__device__ void drop_all_but(std::int64_t keep, float4* row, std::int64_t width, RadixScratch& scratch) {
  const std::int64_t quads = quads_of(width);
  const Cut cut = cut_of_row(row, quads, keep, scratch);
  if (cut.of_row.ties == cut.equal) {  // no tie is dropped: nobody needs its rank
    for_own_quads(quads, [&](std::int64_t q) {
      const float4 x = row[q];
      const auto kept = [&](float value) {
        return quant::magnitude_bits(value) >= cut.of_row.bits ? value : 0.0f;
      };
      row[q] = {kept(x.x), kept(x.y), kept(x.z), kept(x.w)};
    });
    return;
  }
  for_each_survival(row, quads, cut.of_row, scratch.per_warp, [&](std::int64_t q, const bool* survives) {
    const float4 x = row[q];
    row[q] = {survives[0] ? x.x : 0.0f, survives[1] ? x.y : 0.0f, survives[2] ? x.z : 0.0f,
              survives[3] ? x.w : 0.0f};
  });
}

/// Writes the codes of the row, zero up to its padding; returns the sum of this thread's.
template <typename T>
__device__ std::int32_t write_codes(const Parameters<T>& p, std::int64_t r, const float4* row, float inv,
                                    bool finite) {
  const std::int64_t quads = quads_of(p.width);
  std::uint32_t* words = reinterpret_cast<std::uint32_t*>(p.codes.row(r));
  std::uint8_t* packed = p.packed.data == nullptr ? nullptr : p.packed.row(r);
  const std::int64_t packed_bytes = quant::packed4_bytes(p.width);
  std::int32_t sum = 0, zeros = 0;
  for_own_quads(code_row_bytes(p.width) / kQuad, [&](std::int64_t q) {
    int code[kQuad] = {0, 0, 0, 0};
    if (finite && q < quads) {
      const float4 x = row[q];
      code[0] = quant::encode(p.scheme, x.x, inv);
      code[1] = quant::encode(p.scheme, x.y, inv);
      code[2] = quant::encode(p.scheme, x.z, inv);
      code[3] = quant::encode(p.scheme, x.w, inv);
    }
    std::uint32_t word = 0;
    for (int i = 0; i < kQuad; ++i) {
      word |= (static_cast<std::uint32_t>(code[i]) & 0xffu) << (8 * i);
      sum += code[i];
      zeros += q * kQuad + i < p.width && code[i] == 0;
    }
    words[q] = word;
    if (packed != nullptr) {
      for (int i = 0; i < 2; ++i)
        if (2 * q + i < packed_bytes)
          packed[2 * q + i] = quant::pack_pair(p.scheme.kind, code[2 * i], code[2 * i + 1]);
    }
  });
  if (p.zeros != nullptr) add_of_warp(zeros, p.zeros);
  return sum;
}

template <typename T>
__global__ void quantize_kernel(Parameters<T> p) {
  Scratch& scratch = *reinterpret_cast<Scratch*>(shared_memory());
  float4* row = reinterpret_cast<float4*>(shared_memory() + kScratchBytes);
  const std::int64_t r = blockIdx.x;
  const T* x = p.x + r * p.x_stride;
  for_own_quads(quads_of(p.width), [&](std::int64_t q) { row[q] = load_quad_of(x, p.width, q, p.aligned); });
  if (p.up != nullptr) multiply_gate(p, r, row);

  if (p.gain != nullptr) {
    const float inverse_rms = normalize(row, p.width, p.gain, p.eps, p.aligned, scratch);
    if (p.inverse_rms != nullptr && thread_of_block() == 0) p.inverse_rms[r] = inverse_rms;
  }
  float statistic = statistic_of(p.scheme.statistic, row, p.width, scratch);
  const bool finite = quant::is_finite(statistic);
  statistic = finite ? quant::clamp_statistic(statistic) : quant::kStatisticFloor;
  if (finite && p.keep > 0 && p.keep < p.width) drop_all_but(p.keep, row, p.width, scratch.radix);
  const std::int32_t sum =
      sum_of_block(write_codes(p, r, row, quant::inv_of(p.scheme, statistic), finite), scratch.sum);
  if (thread_of_block() == 0) {
    p.step[r] = quant::step_of(p.scheme, statistic);
    p.code_sum[r] = sum;
    p.status[r] = finite ? kRowFinite : kRowNonFinite;
  }
}

template <typename T>
void start(const QuantizeArgs& args, Stream stream) {
  const std::uintptr_t quad_bytes = kQuad * sizeof(T);
  const bool aligned = reinterpret_cast<std::uintptr_t>(args.x.data) % quad_bytes == 0 &&
                       args.x.stride % kQuad == 0 && reinterpret_cast<std::uintptr_t>(args.gain) % 16 == 0 &&
                       reinterpret_cast<std::uintptr_t>(args.up.data) % quad_bytes == 0 &&
                       args.up.stride % kQuad == 0;
  const Parameters<T> parameters{static_cast<const T*>(args.x.data),
                                 static_cast<const T*>(args.up.data),
                                 args.x.stride,
                                 args.up.stride,
                                 args.glu,
                                 args.gain,
                                 args.eps,
                                 quant::row_of(args.scheme),
                                 args.x.cols,
                                 args.keep,
                                 args.codes,
                                 args.packed,
                                 args.step,
                                 args.code_sum,
                                 args.status,
                                 args.inverse_rms,
                                 args.zeros,
                                 args.closed,
                                 aligned};
  const std::size_t row_bytes = static_cast<std::size_t>(quads_of(args.x.cols)) * sizeof(float4);
  launch("quantize_rows", stream, {args.x.rows, 1, threads_for_row(args.x.cols), kScratchBytes + row_bytes},
         quantize_kernel<T>, parameters);
}

}  // namespace

void quantize_rows(const QuantizeArgs& args, Stream stream) {
  A48_ASSERT(args.x.cols >= 1 && args.x.cols <= kMostRowWidth, "width", args.x.cols);
  A48_ASSERT(args.codes.stride % kRowAlignment == 0 && args.codes.stride >= args.x.cols, "stride of codes",
             args.codes.stride);
  A48_ASSERT(args.keep >= 0 && args.keep <= args.x.cols, "keep", args.keep, "of", args.x.cols);
  A48_ASSERT(args.up.data == nullptr || (args.up.cols == args.x.cols && args.up.is_bf16 == args.x.is_bf16),
             "up", args.up.cols, "of x", args.x.cols);
  A48_ASSERT(args.packed.data == nullptr || quant::is_four_bit(args.scheme), "packed codes of",
             quant::row_of(args.scheme).name);
  if (args.x.is_bf16) {
    start<quant::Bf16>(args, stream);
  } else {
    start<float>(args, stream);
  }
}

}  // namespace a48::kernels::cuda
