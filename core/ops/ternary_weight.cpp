// Codes of a master, and codes as float operands. Next: core/kernels/cpu/ternarize_weight.cpp.
#include "core/ops/ternary_weight.h"

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_linear.h"

namespace a48::ops {

TernaryWeight ternarize(const at::Tensor& master) {
  if (on_device(master)) return device_ternarize(master);
  const at::Tensor weight = matrix_of(master.detach(), "weight");
  TernaryWeight result;
  result.codes = empty_matrix(weight.size(0), weight.size(1), at::kChar);
  std::uint8_t status = kernels::kRowFinite;
  kernels::ternarize_weight({.weight = rows_of<const float>(weight),
                             .codes = rows_of<std::int8_t>(result.codes),
                             .alpha = &result.alpha,
                             .status = &status});
  result.finite = status == kernels::kRowFinite;
  return result;
}

at::Tensor codes_as_float(const TernaryWeight& weight) {
  at::Tensor floats = empty_matrix(weight.codes.size(0), weight.codes.size(1));
  kernels::codes_to_float({.scheme = quant::Scheme::ternary,
                           .codes = rows_of<const std::int8_t>(weight.codes),
                           .packed = {},
                           .q = rows_of<float>(floats)});
  return floats;
}

}  // namespace a48::ops
