// G5: the operands of the two backward products, whose products are cuBLAS's: codes as floats, exact in bf16
// too, and d ⊙ dY with the product in fp32. Four elements a thread.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/quads.cuh"
#include "core/quant/pack.h"

namespace a48::kernels::cuda {
namespace {

template <typename Y>
__global__ void codes_to_float_kernel(Rows<const std::int8_t> codes, Y* q_out, std::int64_t stride,
                                      bool aligned) {
  const std::int64_t r = row_of_thread(), q = item_of_thread();
  if (q >= quads_of(codes.cols)) return;
  float value[kQuad];
  for (int i = 0; i < kQuad; ++i) {
    const std::int64_t k = q * kQuad + i;
    value[i] = k < codes.cols ? static_cast<float>(codes.row(r)[k]) : 0.0f;
  }
  store_quad(q_out + r * stride, codes.cols, q, value, aligned);
}

template <typename Y>
__global__ void packed_to_float_kernel(quant::CodeKind kind, Rows<const std::uint8_t> packed,
                                       std::int64_t width, Y* q_out, std::int64_t stride, bool aligned) {
  const std::int64_t r = row_of_thread(), q = item_of_thread();
  if (q >= quads_of(width)) return;
  float value[kQuad];
  for (int i = 0; i < kQuad; ++i) {
    const std::int64_t k = q * kQuad + i;
    const int byte = k < width ? packed.row(r)[k / 2] : 0;
    const int nibble = byte >> (i % 2 * 4) & 15;
    value[i] = static_cast<float>(quant::code_of_nibble(kind, static_cast<std::uint8_t>(nibble)));
  }
  store_quad(q_out + r * stride, width, q, value, aligned);
}

template <typename X, typename Y>
__global__ void scaled_gradient_kernel(const X* dy, std::int64_t dy_stride, const float* step,
                                       std::int64_t width, Y* out, std::int64_t stride, bool aligned_in,
                                       bool aligned_out) {
  const std::int64_t r = row_of_thread(), q = item_of_thread();
  if (q >= quads_of(width)) return;
  const float4 x = load_quad_of(dy + r * dy_stride, width, q, aligned_in);
  const float d = step[r];
  const float value[kQuad] = {d * x.x, d * x.y, d * x.z, d * x.w};
  store_quad(out + r * stride, width, q, value, aligned_out);
}

template <typename Y>
void start(const CodesToFloatArgs& args, Stream stream) {
  const FloatRows& q = args.q;
  const bool aligned = quads_are_aligned(q.data, q.stride, q.is_bf16);
  const Grid grid = grid_of_items(q.rows, quads_of(q.cols));
  Y* out = static_cast<Y*>(q.data);
  if (args.packed.data != nullptr) {
    launch("codes_to_float of packed codes", stream, grid, packed_to_float_kernel<Y>,
           quant::row_of(args.scheme).kind, args.packed, q.cols, out, q.stride, aligned);
  } else {
    launch("codes_to_float", stream, grid, codes_to_float_kernel<Y>, args.codes, out, q.stride, aligned);
  }
}

template <typename X, typename Y>
void start(const ScaledGradientArgs& args, Stream stream) {
  const ConstFloatRows& dy = args.dy;
  const FloatRows& out = args.out;
  launch("scaled_gradient", stream, grid_of_items(dy.rows, quads_of(dy.cols)), scaled_gradient_kernel<X, Y>,
         static_cast<const X*>(dy.data), dy.stride, args.step, dy.cols, static_cast<Y*>(out.data), out.stride,
         quads_are_aligned(dy.data, dy.stride, dy.is_bf16),
         quads_are_aligned(out.data, out.stride, out.is_bf16));
}

}  // namespace

void codes_to_float(const CodesToFloatArgs& args, Stream stream) {
  A48_ASSERT(args.packed.data != nullptr || args.q.rows == 0 || args.codes.cols == args.q.cols, "codes",
             args.codes.cols, "floats", args.q.cols);
  if (args.q.is_bf16) {
    start<quant::Bf16>(args, stream);
  } else {
    start<float>(args, stream);
  }
}

void scaled_gradient(const ScaledGradientArgs& args, Stream stream) {
  if (args.dy.is_bf16) {
    if (args.out.is_bf16) {
      start<quant::Bf16, quant::Bf16>(args, stream);
    } else {
      start<quant::Bf16, float>(args, stream);
    }
  } else {
    if (args.out.is_bf16) {
      start<float, quant::Bf16>(args, stream);
    } else {
      start<float, float>(args, stream);
    }
  }
}

}  // namespace a48::kernels::cuda
