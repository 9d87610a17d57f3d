// Quantize, multiply codes, scale; and the straight-through backward. Next:
// core/kernels/cuda/quantize_rows.cu, gemm_ternary.cu, backward_operands.cu.
#include "core/ops/device_linear.h"

#include <ATen/ops/_int_mm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/cuda/layout.h"
#include "core/ops/bridge.h"
#include "core/ops/device_rows.h"
#include "core/ops/device_views.h"
#include "core/ops/saved_bytes.h"
#include "core/ops/status.h"
#include "core/quant/topk.h"

namespace a48::ops {
namespace {

using kernels::cuda::code_row_bytes;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kOutputMultiple = 8;  // of LibTorch's int8 product on CUDA
constexpr std::int64_t kMostRowsWithout =
    16;  // it takes more rows than these; our kernel has a tile for them

at::TensorOptions options_of(const at::Tensor& like, at::ScalarType type) {
  return at::TensorOptions(like.device()).dtype(type);
}

struct Quantized {
  at::Tensor codes;        // int8 [R, code_row_bytes(K)], 0 behind K
  at::Tensor packed;       // [R, ceil(K/2)] of a 4-bit scheme that is saved
  at::Tensor step;         // [R, 1]
  at::Tensor code_sum;     // int32 [R]
  at::Tensor status;       // uint8 [R]
  at::Tensor inverse_rms;  // [R], with a gain
};

/// Of rows x [R, K], normed first where there is a gain.
Quantized quantize(const at::Tensor& x, quant::Scheme scheme, std::int64_t keep, const at::Tensor& gain,
                   double eps, bool pack) {
  const std::int64_t rows = x.size(0), width = x.size(1);
  A48_CHECK(width <= kernels::cuda::kMostRowWidth, ErrorKind::config, "a quantized input of ", width,
            " features; a GPU takes up to ", kernels::cuda::kMostRowWidth);
  const auto empty = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::empty(sizes, options_of(x, type));
  };
  Quantized q{empty({rows, code_row_bytes(width)}, at::kChar),
              {},
              empty({rows, 1}, at::kFloat),
              empty({rows}, at::kInt),
              empty({rows}, at::kByte),
              {}};
  if (pack && quant::is_four_bit(scheme)) q.packed = empty({rows, quant::packed4_bytes(width)}, at::kByte);
  if (gain.defined()) q.inverse_rms = empty({rows}, at::kFloat);
  kernels::cuda::QuantizeArgs args;
  args.x = float_rows(x);
  args.gain = gain.defined() ? device_data<float>(gain) : nullptr;
  args.eps = eps;
  args.scheme = scheme;
  args.keep = keep;
  args.codes = device_rows_of<std::int8_t>(q.codes, width);
  if (q.packed.defined()) args.packed = device_rows_of<std::uint8_t>(q.packed, q.packed.size(1));
  args.step = device_data<float>(q.step);
  args.code_sum = device_data<std::int32_t>(q.code_sum);
  args.status = device_data<std::uint8_t>(q.status);
  args.inverse_rms = gain.defined() ? device_data<float>(q.inverse_rms) : nullptr;
  device().kernels->quantize_rows(args, device().stream());
  return q;
}

Quantized quantize(const at::Tensor& x, const LinearInput& input, const std::string& name, bool pack) {
  const std::int64_t width = x.size(1);
  const std::int64_t keep = input.keep < 1.0 ? quant::topk_count(input.keep, width) : 0;
  Quantized q = quantize(x, input.scheme, keep, input.gain, input.eps, pack);
  watch_rows(name + " input", q.status);
  if (input.zero_codes != nullptr)  // only measurements ask; they wait for the device
    *input.zero_codes += x.numel() - q.codes.count_nonzero().item<std::int64_t>();
  return q;
}

kernels::cuda::TernaryOperand operand_of(const TernaryWeight& weight) {
  kernels::cuda::TernaryOperand operand;
  operand.outputs = weight.codes.size(0);
  operand.inputs = weight.codes.size(1);
  operand.codes = device_rows_of<const std::int8_t>(weight.codes, operand.inputs);
  operand.end[0] = operand.outputs;
  operand.alpha[0] = device_data<float>(weight.device_alpha);
  return operand;
}

at::Tensor multiply(const Quantized& q, const TernaryWeight& weight, at::ScalarType type) {
  const kernels::cuda::TernaryOperand operand = operand_of(weight);
  const std::int64_t rows = q.codes.size(0);
  at::Tensor y = at::empty({rows, operand.outputs}, options_of(q.codes, type));
  if (rows <= kMostRowsWithout || device().code_product == CodeProduct::own_kernel) {
    device().kernels->gemm_ternary({.codes = device_rows_of<const std::int8_t>(q.codes, operand.inputs),
                                    .step = device_data<float>(q.step),
                                    .code_sum = nullptr,  // read beside packed weights only
                                    .weight = operand,
                                    .y = float_rows_of(y)},
                                   device().stream());
    return y;
  }
  const at::Tensor acc = at::_int_mm(q.codes, weight.padded.t());  // int32 [R, N rounded up]
  device().kernels->scale_rows({.acc = device_rows_of<const std::int32_t>(acc, operand.outputs),
                                .step = device_data<float>(q.step),
                                .weight = operand,
                                .y = float_rows_of(y)},
                               device().stream());
  return y;
}

std::vector<at::Tensor> multiply_all(const at::Tensor& x, const Quantized& q,
                                     std::span<const LinearWeight> weights) {
  std::vector<at::Tensor> outputs;
  for (const LinearWeight& weight : weights) {
    watch_weight(weight.name + " weight", weight.ternary.device_status);
    const at::Tensor y = multiply(q, weight.ternary, x.scalar_type());
    outputs.push_back(y.view(sizes_with_last(x, y.size(1))));
  }
  return outputs;
}

/// Codes as an operand of a product, exact in either type: [rows, width] from int8 rows, or from packed ones.
at::Tensor codes_operand(const at::Tensor& saved, quant::Scheme scheme, std::int64_t width,
                         at::ScalarType type) {
  at::Tensor q = at::empty({saved.size(0), width}, options_of(saved, type));
  kernels::cuda::CodesToFloatArgs args;
  args.scheme = scheme;
  if (quant::is_four_bit(scheme)) {
    args.packed = device_rows_of<const std::uint8_t>(saved, saved.size(1));
  } else {
    args.codes = device_rows_of<const std::int8_t>(saved, width);
  }
  args.q = float_rows_of(q);
  device().kernels->codes_to_float(args, device().stream());
  return q;
}

at::Tensor weight_operand(const at::Tensor& padded, std::int64_t outputs, std::int64_t inputs,
                          at::ScalarType type) {
  return codes_operand(padded.narrow(0, 0, outputs), quant::Scheme::ternary, inputs, type);
}

/// d ⊙ dY with one fp32 product, then rounded to `type`.
at::Tensor scaled_gradient(const at::Tensor& dy, const at::Tensor& step, at::ScalarType type) {
  at::Tensor out = at::empty(dy.sizes(), options_of(dy, type));
  device().kernels->scaled_gradient({float_rows(dy), device_data<float>(step), float_rows_of(out)},
                                    device().stream());
  return out;
}

/// dx = (first ? 0 : dx) + α·(dy·operand), in fp32.
void add_input_gradient(at::Tensor& dx, const at::Tensor& dy, const at::Tensor& operand,
                        const at::Tensor& alpha) {
  const at::Tensor product = device().product(dy, operand);
  if (!dx.defined()) {
    dx = at::mul(product, alpha);
  } else {
    dx.addcmul_(product, alpha);
  }
}

/// Saves codes and α of each weight behind what is there; returns the numbers of outputs.
std::vector<std::int64_t> save_weights(std::span<const LinearWeight> weights, variable_list& saved) {
  std::vector<std::int64_t> outputs;
  for (const LinearWeight& weight : weights) {
    note_saved(weight.name + "/weight", weight.ternary.padded);
    saved.push_back(weight.ternary.padded);
    saved.push_back(weight.ternary.device_alpha);
    outputs.push_back(weight.ternary.codes.size(0));
  }
  return outputs;
}

/// int8 codes as a product takes them, from what is saved: rows of whole 64 bytes, 0 behind the width.
at::Tensor whole_codes(const at::Tensor& saved, quant::Scheme scheme, std::int64_t width) {
  if (!quant::is_four_bit(scheme)) return saved;
  const at::Tensor codes = at::zeros({saved.size(0), code_row_bytes(width)}, options_of(saved, at::kChar));
  device().kernels->unpack4_rows({.scheme = scheme,
                                  .packed = device_rows_of<const std::uint8_t>(saved, saved.size(1)),
                                  .codes = device_rows_of<std::int8_t>(codes, width)},
                                 device().stream());
  return codes;
}

struct DeviceBitLinear : torch::autograd::Function<DeviceBitLinear> {
  static constexpr std::size_t kWeights = 5;  // where they begin among the saved
  static constexpr std::int64_t kNoGlu = -1;

  /// `tracked`: the masters, then the gain if there is one.
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList /*tracked*/,
                               std::span<const LinearWeight> weights, const LinearInput& input) {
    ctx->set_materialize_grads(false);
    const at::Tensor& gain = input.gain;
    const Quantized q = quantize(device_matrix(x, "input"), input, weights.front().name, true);
    variable_list outputs = multiply_all(x, q, weights);
    if (input.glu) outputs = {device_gated(outputs[0], outputs[1], *input.glu)};

    const at::Tensor codes = q.packed.defined() ? q.packed : q.codes;
    variable_list saved{gain.defined() ? x : at::Tensor(), gain, q.inverse_rms, codes, q.step};
    note_saved(weights.front().name + "/input", codes);
    note_saved(weights.front().name + "/step", q.step);
    if (gain.defined()) note_saved("rms_norm", {x, q.inverse_rms});
    ctx->saved_data["outputs"] = save_weights(weights, saved);
    ctx->save_for_backward(std::move(saved));
    ctx->saved_data["scheme"] = static_cast<std::int64_t>(input.scheme);
    ctx->saved_data["backward"] = static_cast<std::int64_t>(input.backward);
    ctx->saved_data["sizes"] = x.sizes().vec();
    ctx->saved_data["type"] = static_cast<std::int64_t>(x.scalar_type());
    ctx->saved_data["glu"] = input.glu ? static_cast<std::int64_t>(*input.glu) : kNoGlu;
    return outputs;
  }

  /// Gradients of gate and up from that of their GLU: both are made again from the saved codes.
  static variable_list glu_gradients(const variable_list& saved, quant::Scheme scheme, std::int64_t width,
                                     at::ScalarType type, kernels::GluKind kind, const at::Tensor& dy) {
    Quantized q{whole_codes(saved[3], scheme, width), {}, saved[4], {}, {}, {}};
    const auto product_of = [&](std::size_t i, std::int64_t outputs) {
      const at::Tensor& padded = saved[kWeights + 2 * i];
      return multiply(q,
                      {.codes = padded.narrow(0, 0, outputs).narrow(1, 0, width),
                       .device_alpha = saved[kWeights + 2 * i + 1],
                       .padded = padded},
                      type);
    };
    const at::Tensor rows = device_matrix(dy, "gradient");
    const auto [dgate, dup] =
        device_glu_backward(product_of(0, rows.size(1)), product_of(1, rows.size(1)), rows.to(type), kind);
    return {dgate, dup};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& of_outputs) {
    variable_list grads = of_outputs;
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &gain = saved[1], &inverse_rms = saved[2], &codes = saved[3],
                     &step = saved[4];
    const auto scheme = static_cast<quant::Scheme>(ctx->saved_data["scheme"].toInt());
    const at::ScalarType operand =
        operand_type(static_cast<BackwardDtype>(ctx->saved_data["backward"].toInt()));
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    const std::vector<std::int64_t> sizes = ctx->saved_data["sizes"].toIntVector();
    const std::vector<std::int64_t> outputs = ctx->saved_data["outputs"].toIntVector();
    const std::int64_t width = sizes.back();
    const std::size_t gain_place = 1 + outputs.size();
    const bool wants_dx = ctx->needs_input_grad(0) || (gain.defined() && ctx->needs_input_grad(gain_place));

    if (const std::int64_t glu = ctx->saved_data["glu"].toInt(); glu != kNoGlu && grads[0].defined())
      grads = glu_gradients(saved, scheme, width, type, static_cast<kernels::GluKind>(glu), grads[0]);
    else if (glu != kNoGlu)
      grads.resize(outputs.size());

    at::Tensor dx, q;
    variable_list result(gain_place + (gain.defined() ? 1 : 0) + 2);  // x, masters, gain, weights, input
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = device_matrix(grads[i], "gradient");
      if (wants_dx) {
        const at::Tensor t = weight_operand(saved[kWeights + 2 * i], outputs[i], width, operand);
        add_input_gradient(dx, dy.to(operand), t, saved[kWeights + 2 * i + 1]);
      }
      if (ctx->needs_input_grad(1 + i)) {
        if (!q.defined()) q = codes_operand(codes, scheme, width, operand);
        result[1 + i] = device().product(scaled_gradient(dy, step, operand).t(), q);
      }
    }
    if (!dx.defined()) return result;
    if (gain.defined()) {
      // The kernel takes fp32 beside rows of either type: dx is rounded once, behind the norm.
      NormGradients all = device_rms_norm_backward(x, dx, gain, inverse_rms);
      result[0] = all.dx.view(sizes);
      result[gain_place] = all.dgain;
    } else {
      result[0] = dx.to(type).view(sizes);
    }
    return result;
  }
};

struct DeviceTernaryLinear : torch::autograd::Function<DeviceTernaryLinear> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList /*masters*/,
                               std::span<const LinearWeight> weights) {
    ctx->set_materialize_grads(false);
    variable_list saved{x};
    note_saved(weights.front().name + "/input", x);
    ctx->saved_data["outputs"] = save_weights(weights, saved);
    ctx->save_for_backward(std::move(saved));
    return device_ternary_linear(x, weights);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<std::int64_t> outputs = ctx->saved_data["outputs"].toIntVector();
    const at::Tensor x = device_matrix(saved[0], "input");
    at::Tensor dx;
    variable_list result(1 + outputs.size() + 1);  // x, masters, weights
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!grads[i].defined()) continue;
      const at::Tensor dy = device_matrix(grads[i], "gradient");
      if (ctx->needs_input_grad(0)) {
        const at::Tensor t = weight_operand(saved[1 + 2 * i], outputs[i], x.size(1), dy.scalar_type());
        add_input_gradient(dx, dy, t, saved[2 + 2 * i]);
      }
      if (ctx->needs_input_grad(1 + i)) result[1 + i] = device().product(dy.t(), x);
    }
    if (dx.defined()) result[0] = dx.to(saved[0].scalar_type()).view(saved[0].sizes());
    return result;
  }
};

/// What a gradient may be wanted of besides x.
std::vector<at::Tensor> tracked_of(std::span<const LinearWeight> weights, const at::Tensor& gain = {}) {
  std::vector<at::Tensor> tracked;
  for (const LinearWeight& weight : weights) tracked.push_back(weight.master);
  if (gain.defined()) tracked.push_back(gain);
  return tracked;
}

}  // namespace

TernaryWeight device_ternarize(const at::Tensor& master) {
  const at::Tensor weight = device_matrix(master.detach(), "weight");
  A48_CHECK(weight.scalar_type() == at::kFloat, ErrorKind::config, "a master weight is ",
            weight.scalar_type(), "; masters are fp32");
  const std::int64_t outputs = weight.size(0), inputs = weight.size(1);
  const std::int64_t stored = kernels::cuda::round_up(outputs, kOutputMultiple);
  TernaryWeight result;
  result.padded = at::empty({stored, code_row_bytes(inputs)}, options_of(weight, at::kChar));
  if (stored > outputs) result.padded.narrow(0, outputs, stored - outputs).zero_();
  result.codes = result.padded.narrow(0, 0, outputs).narrow(1, 0, inputs);
  result.device_alpha = at::empty({1}, options_of(weight, at::kFloat));
  result.device_status = at::empty({1}, options_of(weight, at::kByte));
  const at::Tensor row_sums = at::empty({outputs}, options_of(weight, at::kDouble));
  device().kernels->ternarize_weight({.weight = device_rows_of<const float>(weight, inputs),
                                      .codes = device_rows_of<std::int8_t>(result.codes, inputs),
                                      .words = {},
                                      .alpha = device_data<float>(result.device_alpha),
                                      .status = device_data<std::uint8_t>(result.device_status),
                                      .row_sums = device_data<double>(row_sums)},
                                     device().stream());
  return result;
}

std::vector<at::Tensor> device_bit_linear(const at::Tensor& x, std::span<const LinearWeight> weights,
                                          const LinearInput& input) {
  const std::vector<at::Tensor> tracked = tracked_of(weights, input.gain);
  if (wants_grad(x) || wants_grad(tracked))
    return DeviceBitLinear::apply(x, at::TensorList(tracked), weights, input);
  const Quantized q = quantize(device_matrix(x.detach(), "input"), input, weights.front().name, false);
  const std::vector<at::Tensor> outputs = multiply_all(x, q, weights);
  if (input.glu) return {device_gated(outputs[0], outputs[1], *input.glu)};
  return outputs;
}

std::vector<at::Tensor> device_ternary_linear(const at::Tensor& x, std::span<const LinearWeight> weights) {
  const std::vector<at::Tensor> tracked = tracked_of(weights);
  if (wants_grad(x) || wants_grad(tracked))
    return DeviceTernaryLinear::apply(x, at::TensorList(tracked), weights);
  const at::Tensor matrix = device_matrix(x.detach(), "input");
  std::vector<at::Tensor> outputs;
  for (const LinearWeight& weight : weights) {
    const TernaryWeight& t = weight.ternary;
    watch_weight(weight.name + " weight", t.device_status);
    const at::Tensor operand =
        weight_operand(t.padded, t.codes.size(0), t.codes.size(1), matrix.scalar_type());
    const at::Tensor y = at::mul(device().product(matrix, operand.t()), t.device_alpha);
    outputs.push_back(y.to(x.scalar_type()).view(sizes_with_last(x, y.size(1))));
  }
  return outputs;
}

Codes device_encode(const at::Tensor& x, quant::Scheme scheme) {
  const at::Tensor matrix = device_matrix(x.detach(), "input");
  if (scheme == quant::Scheme::ternary) {
    const TernaryWeight weight = device_ternarize(matrix);
    watch_weight("ternary quantizer weight", weight.device_status);
    return {weight.codes.contiguous().view(x.sizes()), weight.device_alpha};
  }
  const Quantized q = quantize(matrix, scheme, 0, {}, 0.0, false);
  watch_rows(concat(quant::row_of(scheme).name, " quantizer input"), q.status);
  return {q.codes.narrow(1, 0, matrix.size(1)).contiguous().view(x.sizes()),
          q.step.view(sizes_with_last(x, 1))};
}

at::Tensor device_topk_mask(const at::Tensor& x, std::int64_t keep) {
  const at::Tensor matrix = device_matrix(x.to(at::kFloat), "input");
  at::Tensor mask = at::empty(matrix.sizes(), options_of(matrix, at::kByte));
  device().kernels->topk_rows({.x = device_rows_of<const float>(matrix, matrix.size(1)),
                               .keep = keep,
                               .mask = device_rows_of<std::uint8_t>(mask, matrix.size(1))},
                              device().stream());
  return mask;
}

}  // namespace a48::ops
