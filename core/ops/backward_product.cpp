// Operands as views, or as tensors for LibTorch. Next: core/kernels/cpu/gemm_bf16_avx512_bf16.cpp.
#include "core/ops/backward_product.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mul.h>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"

namespace a48::ops {
namespace {

bool is_packed(const RightOperand& operand) { return operand.matrix.scalar_type() == at::kByte; }

void add_bf16_product(at::Tensor& c, const LeftOperand& a, const RightOperand& b, double scale,
                      bool accumulate) {
  kernels::GemmBf16 args;
  args.a = rows_of<const float>(a.matrix);
  args.a_transposed = a.transposed;
  if (a.row_scale.defined()) args.a_scale = a.row_scale.const_data_ptr<float>();
  args.scheme = b.scheme;
  if (b.scheme == quant::Scheme::fp) {
    args.b = rows_of<const float>(b.matrix);
  } else if (is_packed(b)) {
    args.b_packed = rows_of<const std::uint8_t>(b.matrix);
  } else {
    args.b_codes = rows_of<const std::int8_t>(b.matrix);
  }
  args.scale = static_cast<float>(scale);
  args.accumulate = accumulate;
  args.c = rows_of<float>(c);
  kernels::gemm_bf16(args);
}

at::Tensor float_operand(const LeftOperand& a) {
  const at::Tensor scaled = a.row_scale.defined() ? at::mul(a.matrix, a.row_scale) : a.matrix;
  return a.transposed ? scaled.t() : scaled;
}

}  // namespace

RightOperand prepared(const RightOperand& operand, BackwardDtype dtype) {
  if (dtype == BackwardDtype::bf16 || operand.scheme == quant::Scheme::fp) return operand;
  const at::Tensor q = empty_matrix(operand.matrix.size(0), operand.cols);
  kernels::CodesToFloat args{.scheme = operand.scheme, .codes = {}, .packed = {}, .q = rows_of<float>(q)};
  if (is_packed(operand)) {
    args.packed = rows_of<const std::uint8_t>(operand.matrix);
  } else {
    args.codes = rows_of<const std::int8_t>(operand.matrix);
  }
  kernels::codes_to_float(args);
  return {q};
}

void add_product(at::Tensor& c, const LeftOperand& a, const RightOperand& b, double scale, bool accumulate,
                 BackwardDtype dtype) {
  if (dtype == BackwardDtype::bf16) return add_bf16_product(c, a, b, scale, accumulate);
  at::addmm_out(c, c, float_operand(a), prepared(b, dtype).matrix, accumulate ? 1.0 : 0.0, scale);
}

}  // namespace a48::ops
