// A weight matrix as the products see it: ternary codes and one scale, made from the fp32 master once per
// optimizer step. Definition: core/quant/reference.h, kernel: core/kernels/api.h (ternarize_weight).
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace a48::ops {

struct TernaryWeight {
  at::Tensor codes;  // int8 [N, K] in {-1, 0, +1}
  // Of a master on the CPU:
  float alpha = 0.0f;
  bool finite = true;  // false: the master holds a NaN or Inf, the codes are 0
  // Of a master on a device, where nobody waits for them:
  at::Tensor device_alpha = {};   // fp32 [1]
  at::Tensor device_status = {};  // uint8 [1], kRowFinite or kRowNonFinite
  /// int8 [N + 7 and more, K up to a multiple of 64]: the codes; 0 behind K; behind N the codes of the
  /// matrices made together, then 0.
  at::Tensor padded = {};

  bool defined() const { return codes.defined(); }
  /// Do these codes lie where a product takes them together with those of `before`?
  bool follows(const TernaryWeight& before) const;
};

/// Fresh codes of masters [N_i, K]; never writes into an earlier result. On a device they lie one after
/// another, so that one product serves all (device_product.h).
std::vector<TernaryWeight> ternarize(std::span<const at::Tensor> masters);
TernaryWeight ternarize(const at::Tensor& master);

/// The codes as floats [N, K]: an operand of float products, thrown away after use.
at::Tensor codes_as_float(const TernaryWeight& weight);

}  // namespace a48::ops
