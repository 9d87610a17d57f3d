// A weight matrix as the products see it: ternary codes and one scale, made from the fp32 master once per
// optimizer step. Definition: core/quant/reference.h, kernel: core/kernels/api.h (ternarize_weight).
#pragma once

#include <ATen/core/Tensor.h>

namespace a48::ops {

struct TernaryWeight {
  at::Tensor codes;  // int8 [N, K] in {-1, 0, +1}
  // Of a master on the CPU:
  float alpha = 0.0f;
  bool finite = true;  // false: the master holds a NaN or Inf, the codes are 0
  // Of a master on a device, where nobody waits for them:
  at::Tensor device_alpha = {};   // fp32 [1]
  at::Tensor device_status = {};  // uint8 [1], kRowFinite or kRowNonFinite
  at::Tensor padded = {};  // int8 [N up to a multiple of 8, K up to one of 64], 0 around the codes, its view

  bool defined() const { return codes.defined(); }
};

/// Fresh codes of master [N, K]; never writes into an earlier result.
TernaryWeight ternarize(const at::Tensor& master);

/// The codes as floats [N, K]: an operand of float products, thrown away after use.
at::Tensor codes_as_float(const TernaryWeight& weight);

}  // namespace a48::ops
