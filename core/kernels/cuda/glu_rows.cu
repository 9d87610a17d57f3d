// The gated activations and their derivatives, four elements a thread. Formulas: core/quant/glu.h.
#include "core/quant/glu.h"

#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/quads.cuh"

namespace a48::kernels::cuda {
namespace {

template <typename T>
struct Operand {
  T* data;
  std::int64_t stride;
  bool aligned;

  __device__ T* row(std::int64_t r) const { return data + r * stride; }
};

template <typename T>
Operand<const T> operand_of(const ConstFloatRows& x) {
  return {static_cast<const T*>(x.data), x.stride, quads_are_aligned(x.data, x.stride, x.is_bf16)};
}
template <typename T>
Operand<T> operand_of(const FloatRows& x) {
  return {static_cast<T*>(x.data), x.stride, quads_are_aligned(x.data, x.stride, x.is_bf16)};
}

template <typename T>
__device__ void load(float (&value)[kQuad], const Operand<const T>& x, std::int64_t r, std::int64_t width,
                     std::int64_t q) {
  const float4 four = load_quad_of(x.row(r), width, q, x.aligned);
  value[0] = four.x;
  value[1] = four.y;
  value[2] = four.z;
  value[3] = four.w;
}

template <typename T>
__global__ void glu_kernel(GluKind kind, std::int64_t width, Operand<const T> gate, Operand<const T> up,
                           Operand<T> y) {
  const std::int64_t r = row_of_thread(), q = item_of_thread();
  if (q >= quads_of(width)) return;
  float g[kQuad], u[kQuad], f[kQuad];
  load(g, gate, r, width, q);
  load(u, up, r, width, q);
  for (int i = 0; i < kQuad; ++i)
    f[i] = kind == GluKind::relu2 ? quant::relu2_glu(g[i], u[i]) : quant::silu_glu(g[i], u[i]);
  store_quad(y.row(r), width, q, f, y.aligned);
}

template <typename T>
__global__ void glu_backward_kernel(GluKind kind, std::int64_t width, Operand<const T> gate,
                                    Operand<const T> up, Operand<const T> dy, Operand<T> dgate,
                                    Operand<T> dup) {
  const std::int64_t r = row_of_thread(), q = item_of_thread();
  if (q >= quads_of(width)) return;
  float g[kQuad], u[kQuad], d[kQuad];
  load(g, gate, r, width, q);
  load(u, up, r, width, q);
  load(d, dy, r, width, q);
  for (int i = 0; i < kQuad; ++i) {
    const quant::GluGradient both = kind == GluKind::relu2 ? quant::relu2_glu_gradient(g[i], u[i], d[i])
                                                           : quant::silu_glu_gradient(g[i], u[i], d[i]);
    g[i] = both.gate;
    u[i] = both.up;
  }
  store_quad(dgate.row(r), width, q, g, dgate.aligned);
  store_quad(dup.row(r), width, q, u, dup.aligned);
}

template <typename T>
void start(const GluArgs& args, Stream stream) {
  launch("glu_rows", stream, grid_of_items(args.y.rows, quads_of(args.y.cols)), glu_kernel<T>, args.kind,
         args.y.cols, operand_of<T>(args.gate), operand_of<T>(args.up), operand_of<T>(args.y));
}

template <typename T>
void start(const GluBackwardArgs& args, Stream stream) {
  launch("glu_backward_rows", stream, grid_of_items(args.dy.rows, quads_of(args.dy.cols)),
         glu_backward_kernel<T>, args.kind, args.dy.cols, operand_of<T>(args.gate), operand_of<T>(args.up),
         operand_of<T>(args.dy), operand_of<T>(args.dgate), operand_of<T>(args.dup));
}

}  // namespace

void glu_rows(const GluArgs& args, Stream stream) {
  A48_ASSERT(args.gate.is_bf16 == args.y.is_bf16 && args.up.is_bf16 == args.y.is_bf16, "types of the rows");
  if (args.y.is_bf16) {
    start<quant::Bf16>(args, stream);
  } else {
    start<float>(args, stream);
  }
}

void glu_backward_rows(const GluBackwardArgs& args, Stream stream) {
  const bool bf16 = args.dy.is_bf16;
  A48_ASSERT(args.gate.is_bf16 == bf16 && args.up.is_bf16 == bf16 && args.dgate.is_bf16 == bf16 &&
                 args.dup.is_bf16 == bf16,
             "types of the rows");
  if (bf16) {
    start<quant::Bf16>(args, stream);
  } else {
    start<float>(args, stream);
  }
}

}  // namespace a48::kernels::cuda
