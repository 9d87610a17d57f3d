// Quantize and decode. Next: core/kernels/cpu/quantize_rows.cpp.
#include "core/ops/fake_quant.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mul.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_linear.h"
#include "core/ops/status.h"
#include "core/ops/ternary_weight.h"

namespace a48::ops {
namespace {

struct FakeQuant : torch::autograd::Function<FakeQuant> {
  static at::Tensor forward(torch::autograd::AutogradContext* /*ctx*/, const at::Tensor& x,
                            quant::Scheme scheme) {
    return decode(encode(x, scheme));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*ctx*/,
                                                 const torch::autograd::variable_list& grads) {
    return {grads[0], at::Tensor()};
  }
};

}  // namespace

Codes encode(const at::Tensor& x, quant::Scheme scheme) {
  if (on_device(x)) return device_encode(x, scheme);
  const at::Tensor matrix = matrix_of(x.detach(), "input");
  if (scheme == quant::Scheme::ternary) {
    const TernaryWeight weight = ternarize(matrix);
    if (!weight.finite) report_non_finite("ternary quantizer weight");
    return {weight.codes.view(x.sizes()), at::full({1}, weight.alpha, at::kFloat)};
  }
  const std::int64_t rows = matrix.size(0);
  at::Tensor codes = empty_matrix(rows, matrix.size(1), at::kChar);
  at::Tensor step = at::empty({rows}, at::kFloat), code_sum = at::empty({rows}, at::kInt);
  std::vector<std::uint8_t> status(static_cast<std::size_t>(rows));
  kernels::quantize_rows({.x = rows_of<const float>(matrix),
                          .scheme = scheme,
                          .keep = 0,
                          .codes = rows_of<std::int8_t>(codes),
                          .step = step.data_ptr<float>(),
                          .code_sum = code_sum.data_ptr<std::int32_t>(),
                          .status = status.data()});
  const auto bad = std::find(status.begin(), status.end(), kernels::kRowNonFinite);
  if (bad != status.end()) {
    report_non_finite(concat(quant::row_of(scheme).name, " quantizer input"), bad - status.begin());
  }
  return {codes.view(x.sizes()), step.view(sizes_with_last(x, 1))};
}

at::Tensor decode(const Codes& codes) { return at::mul(codes.codes.to(at::kFloat), codes.step); }

at::Tensor fake_quant(const at::Tensor& x, quant::Scheme scheme) {
  if (scheme == quant::Scheme::fp) return x;
  return wants_grad(x) ? FakeQuant::apply(x, scheme) : decode(encode(x, scheme));
}

}  // namespace a48::ops
