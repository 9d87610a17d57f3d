// The residual addition where a product could not add by itself (GemvArgs::accumulate).
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"

namespace a48::kernels::cuda {
namespace {

__global__ void add_kernel(Rows<const float> y, Rows<float> x) {
  const std::int64_t r = row_of_thread(), k = item_of_thread();
  if (k < x.cols) x.row(r)[k] += y.row(r)[k];
}

}  // namespace

void add_rows(const AddArgs& args, Stream stream) {
  A48_ASSERT(args.y.rows == args.x.rows && args.y.cols == args.x.cols, "rows", args.y.rows, "x", args.y.cols,
             "of x", args.x.rows, "x", args.x.cols);
  launch("add_rows", stream, grid_of_items(args.x.rows, args.x.cols), add_kernel, args.y, args.x);
}

}  // namespace a48::kernels::cuda
