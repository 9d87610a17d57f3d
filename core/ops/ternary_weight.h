// A weight matrix as the products see it: ternary codes and one scale, made from the fp32 master once per
// optimizer step. Definition: core/quant/reference.h, kernel: core/kernels/api.h (ternarize_weight).
#pragma once

#include <ATen/core/Tensor.h>

namespace a48::ops {

struct TernaryWeight {
  at::Tensor codes;  // int8 [N, K] in {-1, 0, +1}
  float alpha = 0.0f;
  bool finite = true;  // false: the master holds a NaN or Inf, the codes are 0

  bool defined() const { return codes.defined(); }
};

/// Fresh codes of master [N, K]; never writes into an earlier result.
TernaryWeight ternarize(const at::Tensor& master);

/// The codes as floats [N, K]: an operand of float products, thrown away after use.
at::Tensor codes_as_float(const TernaryWeight& weight);

}  // namespace a48::ops
