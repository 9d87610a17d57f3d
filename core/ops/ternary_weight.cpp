// Codes of a master, and codes as float operands. Next: core/kernels/cpu/ternarize_weight.cpp.
#include "core/ops/ternary_weight.h"

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_linear.h"

namespace a48::ops {

bool TernaryWeight::follows(const TernaryWeight& before) const {
  if (!padded.defined() || !before.padded.defined()) return padded.defined() == before.padded.defined();
  return padded.const_data_ptr() ==
         before.padded.const_data_ptr<std::int8_t>() + before.codes.size(0) * before.padded.stride(0);
}

std::vector<TernaryWeight> ternarize(std::span<const at::Tensor> masters) {
  A48_ASSERT(!masters.empty());
  if (on_device(masters.front())) return device_ternarize(masters);
  std::vector<TernaryWeight> weights;
  for (const at::Tensor& master : masters) weights.push_back(ternarize(master));
  return weights;
}

TernaryWeight ternarize(const at::Tensor& master) {
  if (on_device(master)) return device_ternarize({&master, 1}).front();
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
