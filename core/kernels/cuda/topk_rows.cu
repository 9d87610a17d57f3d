// G2 alone: the survivor mask of each row, one block a row. The select: radix_select.cuh.
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/row_in_shared.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr std::size_t kScratchBytes = (sizeof(RadixScratch) + 15) / 16 * 16;

__global__ void topk_kernel(Rows<const float> x, std::int64_t keep, Rows<std::uint8_t> mask, bool aligned) {
  RadixScratch& scratch = *reinterpret_cast<RadixScratch*>(shared_memory());
  float4* row = reinterpret_cast<float4*>(shared_memory() + kScratchBytes);
  const std::int64_t r = blockIdx.x, width = x.cols, quads = quads_of(width);
  for_own_quads(quads, [&](std::int64_t q) { row[q] = load_quad_of(x.row(r), width, q, aligned); });
  const Cut cut = cut_of_row(row, quads, keep, scratch);
  for_each_survival(row, quads, cut.of_row, scratch.per_warp, [&](std::int64_t q, const bool* survives) {
    for (int i = 0; i < kQuad; ++i)
      if (q * kQuad + i < width) mask.row(r)[q * kQuad + i] = survives[i];
  });
}

}  // namespace

void topk_rows(const TopkRows& args, Stream stream) {
  const Rows<const float>& x = args.x;
  A48_ASSERT(x.cols >= 1 && x.cols <= kMostRowWidth, "width", x.cols);
  A48_ASSERT(args.keep >= 1 && args.keep <= x.cols, "keep", args.keep, "of", x.cols);
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(x.data) % sizeof(float4) == 0 && x.stride % kQuad == 0;
  const std::size_t row_bytes = static_cast<std::size_t>(quads_of(x.cols)) * sizeof(float4);
  launch("topk_rows", stream, {x.rows, 1, threads_for_row(x.cols), kScratchBytes + row_bytes}, topk_kernel, x,
         args.keep, args.mask, aligned);
}

}  // namespace a48::kernels::cuda
