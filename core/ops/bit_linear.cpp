// The product on integer codes and its straight-through backward. Next: core/kernels/cpu/quantize_rows.cpp,
// then gemm_ternary.cpp beside it.
#include "core/ops/bit_linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_linear.h"
#include "core/ops/glu.h"
#include "core/ops/rms_norm.h"
#include "core/ops/saved_bytes.h"
#include "core/ops/status.h"
#include "core/quant/topk.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A quantized matrix [R, K].
struct Quantized {
  at::Tensor codes;     // int8 [R, K]
  at::Tensor step;      // [R, 1]
  at::Tensor code_sum;  // int32 [R]
};

Quantized quantize(const at::Tensor& x, const LinearInput& input, const std::string& name) {
  const std::int64_t rows = x.size(0), width = x.size(1);
  Quantized q{empty_matrix(rows, width, at::kChar), empty_matrix(rows, 1), at::empty({rows}, at::kInt)};
  std::vector<std::uint8_t> status(static_cast<std::size_t>(rows));
  kernels::quantize_rows({.x = rows_of<const float>(x),
                          .scheme = input.scheme,
                          .keep = input.keep < 1.0 ? quant::topk_count(input.keep, width) : 0,
                          .codes = rows_of<std::int8_t>(q.codes),
                          .step = q.step.data_ptr<float>(),
                          .code_sum = q.code_sum.data_ptr<std::int32_t>(),
                          .status = status.data()});
  const auto bad = std::find(status.begin(), status.end(), kernels::kRowNonFinite);
  if (bad != status.end()) report_non_finite(name + " input", bad - status.begin());
  if (input.zero_codes != nullptr)
    *input.zero_codes += kernels::count_zero_codes(rows_of<const std::int8_t>(q.codes));
  return q;
}

std::vector<at::Tensor> multiply(const at::Tensor& shape, const Quantized& q, quant::Scheme scheme,
                                 std::span<const LinearWeight> weights) {
  std::vector<at::Tensor> outputs;
  for (const LinearWeight& weight : weights) {
    if (!weight.ternary.finite) report_non_finite(weight.name + " weight");
    at::Tensor y = empty_matrix(q.codes.size(0), weight.ternary.codes.size(0));
    kernels::gemm_ternary({.codes = rows_of<const std::int8_t>(q.codes),
                           .max_magnitude = quant::row_of(scheme).max_magnitude,
                           .step = q.step.data_ptr<float>(),
                           .code_sum = q.code_sum.data_ptr<std::int32_t>(),
                           .weight = rows_of<const std::int8_t>(weight.ternary.codes),
                           .alpha = weight.ternary.alpha,
                           .y = rows_of<float>(y)});
    outputs.push_back(y.view(sizes_with_last(shape, y.size(1))));
  }
  return outputs;
}

/// int8 codes as they are, 4-bit ones packed.
at::Tensor codes_to_save(const at::Tensor& codes, quant::Scheme scheme) {
  if (!quant::is_four_bit(scheme)) return codes;
  at::Tensor packed = empty_matrix(codes.size(0), (codes.size(1) + 1) / 2, at::kByte);
  kernels::pack4_rows({.scheme = scheme,
                       .codes = rows_of<const std::int8_t>(codes),
                       .packed = rows_of<std::uint8_t>(packed)});
  return packed;
}

/// dx = (first ? 0 : dx) + scale·(dy·codes).
void add_input_gradient(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& codes, double scale,
                        BackwardDtype dtype) {
  const bool first = !dx.defined();
  if (first) dx = empty_matrix(dy.size(0), codes.size(1));
  add_product(dx, {dy}, {codes, quant::Scheme::ternary, codes.size(1)}, scale, !first, dtype);
}

std::vector<at::Tensor> masters_of(std::span<const LinearWeight> weights) {
  std::vector<at::Tensor> masters;
  for (const LinearWeight& weight : weights) masters.push_back(weight.master);
  return masters;
}

void check_weights(const at::Tensor& x, std::span<const LinearWeight> weights) {
  A48_ASSERT(!weights.empty());
  for (const LinearWeight& weight : weights) {
    A48_ASSERT(weight.ternary.defined(), weight.name);
    A48_CHECK(weight.master.size(1) == x.size(-1), ErrorKind::config, weight.name, ": the input has ",
              x.size(-1), " features, the weight takes ", weight.master.size(1));
  }
}

struct BitLinear : torch::autograd::Function<BitLinear> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList /*masters*/,
                               std::span<const LinearWeight> weights, const LinearInput& input) {
    ctx->set_materialize_grads(false);
    const at::Tensor matrix = matrix_of(x, "input");
    const Quantized q = quantize(matrix, input, weights.front().name);
    variable_list outputs = multiply(x, q, input.scheme, weights);

    variable_list saved{codes_to_save(q.codes, input.scheme), q.step};
    std::vector<double> alphas;
    note_saved(weights.front().name + "/input", saved[0]);
    note_saved(weights.front().name + "/step", saved[1]);
    for (const LinearWeight& weight : weights) {
      saved.push_back(weight.ternary.codes);
      alphas.push_back(weight.ternary.alpha);
      note_saved(weight.name + "/weight", weight.ternary.codes);
    }
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["alphas"] = alphas;
    ctx->saved_data["scheme"] = static_cast<std::int64_t>(input.scheme);
    ctx->saved_data["backward"] = static_cast<std::int64_t>(input.backward);
    ctx->saved_data["sizes"] = x.sizes().vec();
    return outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto scheme = static_cast<quant::Scheme>(ctx->saved_data["scheme"].toInt());
    const auto dtype = static_cast<BackwardDtype>(ctx->saved_data["backward"].toInt());
    const std::vector<std::int64_t> sizes = ctx->saved_data["sizes"].toIntVector();
    const std::vector<double> alphas = ctx->saved_data["alphas"].toDoubleVector();
    const std::size_t parts = alphas.size();

    at::Tensor dx;
    RightOperand q;
    variable_list result(1 + parts + 2);  // x, masters, weights, input
    for (std::size_t i = 0; i < parts; ++i) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = matrix_of(grads[i], "gradient");
      if (ctx->needs_input_grad(0)) {
        add_input_gradient(dx, dy, saved[2 + i], alphas[i], dtype);
      }
      if (ctx->needs_input_grad(1 + i)) {
        if (!q.matrix.defined()) q = prepared({saved[0], scheme, sizes.back()}, dtype);
        result[1 + i] = empty_matrix(dy.size(1), sizes.back());
        add_product(result[1 + i], {dy, true, saved[1]}, q, 1.0, false, dtype);
      }
    }
    if (dx.defined()) result[0] = dx.view(sizes);
    return result;
  }
};

struct TernaryLinear : torch::autograd::Function<TernaryLinear> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList /*masters*/,
                               std::span<const LinearWeight> weights) {
    ctx->set_materialize_grads(false);
    variable_list saved{x};
    std::vector<double> alphas;
    note_saved(weights.front().name + "/input", x);
    for (const LinearWeight& weight : weights) {
      saved.push_back(weight.ternary.codes);
      alphas.push_back(weight.ternary.alpha);
      note_saved(weight.name + "/weight", weight.ternary.codes);
    }
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["alphas"] = alphas;
    return ternary_linear(x, weights);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<double> alphas = ctx->saved_data["alphas"].toDoubleVector();
    const at::Tensor x = matrix_of(saved[0], "input");

    at::Tensor dx;
    variable_list result(1 + alphas.size() + 1);  // x, masters, weights
    for (std::size_t i = 0; i < alphas.size(); ++i) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = matrix_of(grads[i], "gradient");
      if (ctx->needs_input_grad(0)) {
        add_input_gradient(dx, dy, saved[1 + i], alphas[i], BackwardDtype::fp32);
      }
      if (ctx->needs_input_grad(1 + i)) result[1 + i] = at::mm(dy.t(), x);
    }
    if (dx.defined()) result[0] = dx.view(saved[0].sizes());
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> bit_linear(const at::Tensor& x, std::span<const LinearWeight> weights,
                                   const LinearInput& input) {
  check_weights(x, weights);
  A48_ASSERT(!input.glu || weights.size() == 2, "gate and up", weights.size());
  if (on_device(x)) return device_bit_linear(x, weights, input);
  if (input.glu) {
    LinearInput both = input;
    both.glu.reset();
    const std::vector<at::Tensor> y = bit_linear(x, weights, both);
    return {glu(y[0], y[1], *input.glu)};
  }
  if (input.gain.defined()) {
    LinearInput normed = input;
    normed.gain = at::Tensor();
    return bit_linear(rms_norm(x, input.gain, input.eps), weights, normed);
  }
  std::vector<at::Tensor> tracked = masters_of(weights);
  tracked.push_back(x);
  if (wants_grad(tracked)) {
    tracked.pop_back();
    return BitLinear::apply(x, at::TensorList(tracked), weights, input);
  }
  const Quantized q = quantize(matrix_of(x.detach(), "input"), input, weights.front().name);
  return multiply(x, q, input.scheme, weights);
}

std::vector<at::Tensor> ternary_linear(const at::Tensor& x, std::span<const LinearWeight> weights) {
  check_weights(x, weights);
  if (on_device(x)) return device_ternary_linear(x, weights);
  std::vector<at::Tensor> tracked = masters_of(weights);
  tracked.push_back(x);
  if (wants_grad(tracked)) {
    tracked.pop_back();
    return TernaryLinear::apply(x, at::TensorList(tracked), weights);
  }
  const at::Tensor matrix = matrix_of(x.detach(), "input");
  std::vector<at::Tensor> outputs;
  for (const LinearWeight& weight : weights) {
    if (!weight.ternary.finite) report_non_finite(weight.name + " weight");
    const at::Tensor operand = codes_as_float(weight.ternary).mul_(weight.ternary.alpha);
    outputs.push_back(at::mm(matrix, operand.t()).view(sizes_with_last(x, operand.size(0))));
  }
  return outputs;
}

}  // namespace a48::ops
