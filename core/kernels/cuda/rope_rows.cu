// The rotary embedding: one pair of a head per thread (numerics.md 3). Tables: core/kernels/rope_table.h.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/quads.cuh"
#include "core/kernels/cuda/rope.cuh"

namespace a48::kernels::cuda {
namespace {

template <typename T>
__global__ void rope_kernel(const T* x, std::int64_t x_stride, T* y, std::int64_t y_stride,
                            const std::int32_t* position, std::int64_t heads, Rows<const float> cos,
                            Rows<const float> sin, float direction) {
  const std::int64_t r = row_of_thread(), item = item_of_thread(), half = cos.cols;
  if (item >= heads * half) return;
  const std::int64_t i = item % half, at = item / half * 2 * half + i;
  const float c = cos.row(position[r])[i], s = sin.row(position[r])[i] * direction;
  const RotatedPair pair = rotated(widened(x[r * x_stride + at]), widened(x[r * x_stride + at + half]), c, s);
  store(y + r * y_stride + at, pair.first);
  store(y + r * y_stride + at + half, pair.second);
}

template <typename T>
void start(const RopeArgs& args, Stream stream) {
  launch("rope_rows", stream, grid_of_items(args.x.rows, args.heads * args.cos.cols), rope_kernel<T>,
         static_cast<const T*>(args.x.data), args.x.stride, static_cast<T*>(args.y.data), args.y.stride,
         args.position, args.heads, args.cos, args.sin, args.inverse ? -1.0f : 1.0f);
}

}  // namespace

void rope_rows(const RopeArgs& args, Stream stream) {
  A48_ASSERT(args.x.is_bf16 == args.y.is_bf16 && args.head_dim == 2 * args.cos.cols &&
                 args.x.cols == args.heads * args.head_dim && args.sin.cols == args.cos.cols,
             "features", args.x.cols, "heads", args.heads, "of", args.head_dim, "tables", args.cos.cols);
  if (args.x.is_bf16) {
    start<quant::Bf16>(args, stream);
  } else {
    start<float>(args, stream);
  }
}

}  // namespace a48::kernels::cuda
