// The matrix products of backward, in the dtype that run.backward_dtype names (numerics.md 4.2, kernels.md
// 5.10): fp32 through LibTorch, or bf16 on CPUs that multiply it natively. Next: core/kernels/api.h
// (gemm_bf16).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/quant/scheme.h"

namespace a48::ops {

enum class BackwardDtype { fp32, bf16 };

/// The first operand [M, I], fp32: `matrix`, or the transpose of an [I, M] whose rows are multiplied by
/// row_scale [I, 1] if that is defined.
struct LeftOperand {
  at::Tensor matrix;
  bool transposed = false;
  at::Tensor row_scale = {};
};

/// The second operand [I, N] as it is stored: fp32 (scheme fp), codes in int8, or two codes of a 4-bit scheme
/// a byte.
struct RightOperand {
  at::Tensor matrix;
  quant::Scheme scheme = quant::Scheme::fp;
  std::int64_t cols = 0;  // N of codes
};

/// What products in `dtype` take, for an operand that several share: fp32 wants codes decoded to floats, bf16
/// reads them as they are stored.
RightOperand prepared(const RightOperand& operand, BackwardDtype dtype);

/// c = scale·(a·b), or c + scale·(a·b), c fp32 [M, N]. In bf16 each operand is rounded once (codes are exact,
/// row_scale is multiplied in fp32 before), and the products are summed in fp32 in one order for any number
/// of threads.
void add_product(at::Tensor& c, const LeftOperand& a, const RightOperand& b, double scale, bool accumulate,
                 BackwardDtype dtype);

}  // namespace a48::ops
