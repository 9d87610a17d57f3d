// RMSNorm and its derivative. Forward: one block a row, the row in shared memory. Backward: a block takes
// every parts-th row and keeps its share of the gain's gradient in shared memory. Formulas: numerics.md 3.
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/row_in_shared.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr std::size_t kScratchBytes = (sizeof(PerWarp<float>) + 15) / 16 * 16;

template <typename X, typename Y>
__global__ void norm_kernel(const X* x, std::int64_t x_stride, const float* gain, double eps,
                            std::int64_t width, Y* y, std::int64_t y_stride, float* inverse_rms,
                            bool aligned_x, bool aligned_gain, bool aligned_y) {
  float& scratch = *reinterpret_cast<float*>(shared_memory());
  float4* row = reinterpret_cast<float4*>(shared_memory() + kScratchBytes);
  const std::int64_t r = blockIdx.x, quads = quads_of(width);
  for_own_quads(quads, [&](std::int64_t q) { row[q] = load_quad_of(x + r * x_stride, width, q, aligned_x); });
  const float inverse = inverse_rms_of_row(row, width, eps, scratch);
  for_own_quads(quads, [&](std::int64_t q) {
    const float4 v = row[q], g = load_quad_of(gain, width, q, aligned_gain);
    const float value[kQuad] = {(v.x * inverse) * g.x, (v.y * inverse) * g.y, (v.z * inverse) * g.z,
                                (v.w * inverse) * g.w};
    store_quad(y + r * y_stride, width, q, value, aligned_y);
  });
  if (inverse_rms != nullptr && thread_of_block() == 0) inverse_rms[r] = inverse;
}

template <typename X, typename G>
struct Backward {
  const X* x;
  const G* dy;
  X* dx;
  std::int64_t x_stride, dy_stride, dx_stride;
  const float* gain;
  const float* inverse_rms;
  std::int64_t rows, width;
  Rows<float> dgain_parts;
  bool aligned_x, aligned_dy, aligned_dx, aligned_gain;
};

template <typename X, typename G>
__global__ void norm_backward_kernel(Backward<X, G> p) {
  PerWarp<float>& scratch = *reinterpret_cast<PerWarp<float>*>(shared_memory());
  float4* dgain = reinterpret_cast<float4*>(shared_memory() + kScratchBytes);
  const std::int64_t quads = quads_of(p.width);
  for_own_quads(quads, [&](std::int64_t q) { dgain[q] = {0.0f, 0.0f, 0.0f, 0.0f}; });
  for (std::int64_t r = blockIdx.x; r < p.rows; r += p.dgain_parts.rows) {
    const X* x_row = p.x + r * p.x_stride;
    const G* dy_row = p.dy + r * p.dy_stride;
    float dot = 0.0f;
    for_own_quads(quads, [&](std::int64_t q) {
      const float4 x = load_quad_of(x_row, p.width, q, p.aligned_x),
                   dy = load_quad_of(dy_row, p.width, q, p.aligned_dy),
                   g = load_quad_of(p.gain, p.width, q, p.aligned_gain);
      dot += (dy.x * g.x) * x.x + (dy.y * g.y) * x.y + (dy.z * g.z) * x.z + (dy.w * g.w) * x.w;
    });
    dot = sum_of_block(dot, scratch);
    const float inverse = p.inverse_rms[r];
    const float pull = inverse * inverse * inverse / static_cast<float>(p.width) * dot;
    for_own_quads(quads, [&](std::int64_t q) {
      const float4 x = load_quad_of(x_row, p.width, q, p.aligned_x),
                   dy = load_quad_of(dy_row, p.width, q, p.aligned_dy),
                   g = load_quad_of(p.gain, p.width, q, p.aligned_gain);
      float4 sum = dgain[q];
      sum.x += (dy.x * x.x) * inverse;
      sum.y += (dy.y * x.y) * inverse;
      sum.z += (dy.z * x.z) * inverse;
      sum.w += (dy.w * x.w) * inverse;
      dgain[q] = sum;
      const float value[kQuad] = {(dy.x * g.x) * inverse - x.x * pull, (dy.y * g.y) * inverse - x.y * pull,
                                  (dy.z * g.z) * inverse - x.z * pull, (dy.w * g.w) * inverse - x.w * pull};
      store_quad(p.dx + r * p.dx_stride, p.width, q, value, p.aligned_dx);
    });
  }
  for_own_quads(quads, [&](std::int64_t q) {
    const float4 sum = dgain[q];
    const float value[kQuad] = {sum.x, sum.y, sum.z, sum.w};
    store_quad(p.dgain_parts.row(blockIdx.x), p.width, q, value, false);
  });
}

std::size_t shared_bytes(std::int64_t width) {
  return kScratchBytes + static_cast<std::size_t>(quads_of(width)) * sizeof(float4);
}

template <typename X, typename Y>
void start(const RmsNormArgs& args, Stream stream) {
  launch("rms_norm_rows", stream, {args.x.rows, 1, threads_for_row(args.x.cols), shared_bytes(args.x.cols)},
         norm_kernel<X, Y>, static_cast<const X*>(args.x.data), args.x.stride, args.gain, args.eps,
         args.x.cols, static_cast<Y*>(args.y.data), args.y.stride, args.inverse_rms,
         quads_are_aligned(args.x.data, args.x.stride, args.x.is_bf16),
         quads_are_aligned(args.gain, kQuad, false),
         quads_are_aligned(args.y.data, args.y.stride, args.y.is_bf16));
}

template <typename X, typename G>
void start(const RmsNormBackwardArgs& args, Stream stream) {
  const Backward<X, G> parameters{static_cast<const X*>(args.x.data),
                                  static_cast<const G*>(args.dy.data),
                                  static_cast<X*>(args.dx.data),
                                  args.x.stride,
                                  args.dy.stride,
                                  args.dx.stride,
                                  args.gain,
                                  args.inverse_rms,
                                  args.x.rows,
                                  args.x.cols,
                                  args.dgain_parts,
                                  quads_are_aligned(args.x.data, args.x.stride, args.x.is_bf16),
                                  quads_are_aligned(args.dy.data, args.dy.stride, args.dy.is_bf16),
                                  quads_are_aligned(args.dx.data, args.dx.stride, args.dx.is_bf16),
                                  quads_are_aligned(args.gain, kQuad, false)};
  launch("rms_norm_backward_rows", stream,
         {args.dgain_parts.rows, 1, threads_for_row(args.x.cols), shared_bytes(args.x.cols)},
         norm_backward_kernel<X, G>, parameters);
}

}  // namespace

void rms_norm_rows(const RmsNormArgs& args, Stream stream) {
  A48_ASSERT(args.x.cols >= 1 && args.x.cols <= kMostRowWidth && args.y.cols == args.x.cols, "width",
             args.x.cols, "of y", args.y.cols);
  A48_ASSERT(args.x.is_bf16 || !args.y.is_bf16, "fp32 rows are normed to fp32");
  if (!args.x.is_bf16) {
    start<float, float>(args, stream);
  } else if (args.y.is_bf16) {
    start<quant::Bf16, quant::Bf16>(args, stream);
  } else {
    start<quant::Bf16, float>(args, stream);
  }
}

void rms_norm_backward_rows(const RmsNormBackwardArgs& args, Stream stream) {
  A48_ASSERT(args.x.cols >= 1 && args.x.cols <= kMostRowWidth && args.dy.cols == args.x.cols &&
                 args.dx.cols == args.x.cols && args.dgain_parts.cols == args.x.cols &&
                 args.dgain_parts.rows >= 1,
             "width", args.x.cols, "dy", args.dy.cols, "dx", args.dx.cols, "parts", args.dgain_parts.rows);
  A48_ASSERT(args.dx.is_bf16 == args.x.is_bf16 && (args.x.is_bf16 || !args.dy.is_bf16), "types of the rows");
  if (!args.x.is_bf16) {
    start<float, float>(args, stream);
  } else if (args.dy.is_bf16) {
    start<quant::Bf16, quant::Bf16>(args, stream);
  } else {
    start<quant::Bf16, float>(args, stream);
  }
}

}  // namespace a48::kernels::cuda
