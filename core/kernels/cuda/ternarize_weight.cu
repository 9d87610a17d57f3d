// G6: master weights to ternary codes and α, once per optimizer step: sums of the rows by one warp each,
// their lane sum by one warp, then codes. Everything stays on the device. Formulas: numerics.md E2,
// core/quant/math.h.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/row_in_shared.cuh"
#include "core/quant/math.h"

namespace a48::kernels::cuda {
namespace {

constexpr int kSumWarps = 8;  // rows per block

__global__ void row_sums_kernel(Rows<const float> weight, double* sums) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * kSumWarps + warp_of_block();
  if (n >= weight.rows) return;  // a whole warp
  const float* w = weight.row(n);
  const double sum = lane_sum_of_warp<double>(
      weight.cols, [w](std::int64_t k) { return fabs(static_cast<double>(__ldg(w + k))); });
  if (lane_of_warp() == 0) sums[n] = sum;
}

__global__ void alpha_kernel(const double* sums, std::int64_t rows, std::int64_t cols, float* alpha,
                             std::uint8_t* status) {
  const double total = lane_sum_of_warp<double>(rows, [sums](std::int64_t n) { return sums[n]; });
  if (lane_of_warp() != 0) return;
  const float mean = static_cast<float>(total / (static_cast<double>(rows) * static_cast<double>(cols)));
  const bool finite = quant::is_finite(mean);
  *alpha = finite ? quant::clamp_statistic(mean) : quant::kStatisticFloor;
  *status = finite ? kRowFinite : kRowNonFinite;
}

__global__ void ternary_codes_kernel(quant::SchemeRow scheme, Rows<const float> weight, const float* alpha,
                                     const std::uint8_t* status, Rows<std::int8_t> codes, bool aligned) {
  const std::int64_t n = row_of_thread(), q = item_of_thread();
  if (q >= code_row_bytes(weight.cols) / kQuad) return;
  const float inv = quant::inv_of(scheme, *alpha);
  std::uint32_t word = 0;
  if (*status == kRowFinite && q < quads_of(weight.cols)) {
    const float4 w = load_quad_of(weight.row(n), weight.cols, q, aligned);
    const int code[kQuad] = {quant::encode(scheme, w.x, inv), quant::encode(scheme, w.y, inv),
                             quant::encode(scheme, w.z, inv), quant::encode(scheme, w.w, inv)};
    for (int i = 0; i < kQuad; ++i) word |= (static_cast<std::uint32_t>(code[i]) & 0xffu) << (8 * i);
  }
  reinterpret_cast<std::uint32_t*>(codes.row(n))[q] = word;
}

}  // namespace

void ternarize_weight(const TernarizeArgs& args, Stream stream) {
  const Rows<const float>& weight = args.weight;
  A48_ASSERT(!weight.empty() && args.codes.rows == weight.rows && args.codes.cols == weight.cols &&
                 args.codes.stride % kRowAlignment == 0,
             "weight", weight.rows, "x", weight.cols, "codes", args.codes.rows, "x", args.codes.cols,
             "stride", args.codes.stride);
  launch("sums of weight rows", stream,
         {(weight.rows + kSumWarps - 1) / kSumWarps, 1, kSumWarps * kWarpThreads}, row_sums_kernel, weight,
         args.row_sums);
  launch("scale of a weight", stream, {1, 1, kWarpThreads}, alpha_kernel, args.row_sums, weight.rows,
         weight.cols, args.alpha, args.status);
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(weight.data) % sizeof(float4) == 0 && weight.stride % kQuad == 0;
  launch("ternary codes", stream, grid_of_items(weight.rows, code_row_bytes(weight.cols) / kQuad),
         ternary_codes_kernel, quant::row_of(quant::Scheme::ternary), weight, args.alpha, args.status,
         args.codes, aligned);
  if (args.words.data != nullptr)
    ternary_words({.outputs = weight.rows, .inputs = weight.cols, .codes = args.codes, .words = args.words},
                  stream);
}

}  // namespace a48::kernels::cuda
