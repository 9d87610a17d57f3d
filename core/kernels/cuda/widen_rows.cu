// Rows of an embedding by token ids that stand in device memory.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/quads.cuh"

namespace a48::kernels::cuda {
namespace {

template <typename T>
__global__ void widen_kernel(Rows<const std::uint8_t> stored, const std::int32_t* id, Rows<float> x) {
  const std::int64_t r = row_of_thread(), k = item_of_thread();
  if (k < x.cols) x.row(r)[k] = widened(reinterpret_cast<const T*>(stored.row(id[r]))[k]);
}

}  // namespace

void widen_rows(const WidenArgs& args, Stream stream) {
  const HeadWeight& embedding = args.embedding;
  A48_ASSERT(embedding.kind == HeadClass::f32 || embedding.kind == HeadClass::bf16, "class",
             static_cast<int>(embedding.kind));
  A48_ASSERT(embedding.cols == args.x.cols, "width", embedding.cols, "of x", args.x.cols);
  launch("widen_rows", stream, grid_of_items(args.x.rows, args.x.cols),
         embedding.kind == HeadClass::f32 ? widen_kernel<float> : widen_kernel<quant::Bf16>, embedding.stored,
         args.id, args.x);
}

}  // namespace a48::kernels::cuda
