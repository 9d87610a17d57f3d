// Quantize, multiply codes, scale; and the straight-through backward. Next: device_product.cpp,
// core/kernels/cuda/quantize_rows.cu, backward_operands.cu.
#include "core/ops/device_linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/kernels/cuda/layout.h"
#include "core/ops/bridge.h"
#include "core/ops/device_product.h"
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

/// One output per matrix, parts of one product.
std::vector<at::Tensor> multiply(const at::Tensor& x, const Quantized& q,
                                 std::span<const LinearWeight> weights) {
  const DeviceWeights all = device_weights(weights);
  const at::Tensor y = code_product(q.codes, q.step, all, x.scalar_type());
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    watch_weight(weights[i].name + " weight", weights[i].ternary.device_status);
    outputs.push_back(all.part(y, 1, i).view(sizes_with_last(x, all.outputs[i])));
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

at::Tensor weight_operand(const DeviceWeights& weights, at::ScalarType type) {
  return codes_operand(weights.padded.narrow(0, 0, weights.all_outputs()), quant::Scheme::ternary,
                       weights.inputs, type);
}

/// Makes rows of the gradients that there are; false: there is none.
bool has_gradient(variable_list& dy) {
  bool any = false;
  for (at::Tensor& one : dy) {
    if (one.defined()) one = device_matrix(one, "gradient");
    any = any || one.defined();
  }
  return any;
}

/// The gradients of all outputs side by side as operand of a product: s_i ⊙ dY_i with s_i [R], one fp32
/// product, then rounded to `type`; 0 where there is no gradient. [R, Σ N_i].
at::Tensor scaled_gradients(const variable_list& dy, const DeviceWeights& weights,
                            std::span<const at::Tensor> scales, at::ScalarType type) {
  const at::Tensor all =
      at::empty({scales[0].numel(), weights.all_outputs()}, options_of(weights.padded, type));
  for (std::size_t i = 0; i < dy.size(); ++i) {
    at::Tensor part = weights.part(all, 1, i);
    if (dy[i].defined()) {
      device().kernels->scaled_gradient(
          {float_rows(dy[i]), device_data<float>(scales[i]), float_rows_of(part)}, device().stream());
    } else {
      part.zero_();
    }
  }
  return all;
}

/// Σ_i (α_i·dY_i)·T_i, fp32.
at::Tensor input_gradient(const variable_list& dy, const DeviceWeights& weights, std::int64_t rows,
                          at::ScalarType operand) {
  std::vector<at::Tensor> alphas;  // one a row
  for (const at::Tensor& alpha : weights.alphas) alphas.push_back(alpha.repeat({rows}));
  return device().product(scaled_gradients(dy, weights, alphas, operand), weight_operand(weights, operand));
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

/// What save_weights put at `first` and behind.
DeviceWeights saved_weights(const variable_list& saved, std::size_t first, std::vector<std::int64_t> outputs,
                            std::int64_t inputs) {
  DeviceWeights weights{saved[first], {}, std::move(outputs), inputs};
  for (std::size_t i = 0; i < weights.outputs.size(); ++i) weights.alphas.push_back(saved[first + 2 * i + 1]);
  return weights;
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
    variable_list outputs = multiply(x, q, weights);
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
  static variable_list glu_gradients(const at::Tensor& codes, const at::Tensor& step,
                                     const DeviceWeights& weights, at::ScalarType type, kernels::GluKind kind,
                                     const at::Tensor& dy) {
    const at::Tensor y = code_product(codes, step, weights, type);
    const auto [dgate, dup] = device_glu_backward(weights.part(y, 1, 0), weights.part(y, 1, 1),
                                                  device_matrix(dy, "gradient").to(type), kind);
    return {dgate, dup};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& of_outputs) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &gain = saved[1], &inverse_rms = saved[2], &codes = saved[3],
                     &step = saved[4];
    const auto scheme = static_cast<quant::Scheme>(ctx->saved_data["scheme"].toInt());
    const at::ScalarType operand =
        operand_type(static_cast<BackwardDtype>(ctx->saved_data["backward"].toInt()));
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    const std::vector<std::int64_t> sizes = ctx->saved_data["sizes"].toIntVector();
    const std::int64_t width = sizes.back();
    const DeviceWeights weights =
        saved_weights(saved, kWeights, ctx->saved_data["outputs"].toIntVector(), width);
    const std::size_t matrices = weights.outputs.size(), gain_place = 1 + matrices;
    variable_list result(gain_place + (gain.defined() ? 1 : 0) + 2);  // x, masters, gain, weights, input

    variable_list dy = of_outputs;
    if (const std::int64_t glu = ctx->saved_data["glu"].toInt(); glu != kNoGlu && dy[0].defined())
      dy = glu_gradients(whole_codes(codes, scheme, width), step, weights, type,
                         static_cast<kernels::GluKind>(glu), dy[0]);
    if (!has_gradient(dy)) return result;

    bool wants_masters = false;
    for (std::size_t i = 0; i < matrices; ++i) wants_masters = wants_masters || ctx->needs_input_grad(1 + i);
    if (wants_masters) {
      const at::Tensor q = codes_operand(codes, scheme, width, operand);
      const std::vector<at::Tensor> d(matrices, step);
      const at::Tensor dmasters =
          device().product(scaled_gradients(dy, weights, d, operand).t(), q);  // [Σ N_i, K]
      for (std::size_t i = 0; i < matrices; ++i)
        if (dy[i].defined() && ctx->needs_input_grad(1 + i)) result[1 + i] = weights.part(dmasters, 0, i);
    }
    if (!ctx->needs_input_grad(0) && !(gain.defined() && ctx->needs_input_grad(gain_place))) return result;
    const at::Tensor dx = input_gradient(dy, weights, step.size(0), operand);
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

  static variable_list backward(AutogradContext* ctx, const variable_list& of_outputs) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor x = device_matrix(saved[0], "input");
    const DeviceWeights weights =
        saved_weights(saved, 1, ctx->saved_data["outputs"].toIntVector(), x.size(1));
    variable_list result(1 + weights.outputs.size() + 1);  // x, masters, weights
    variable_list dy = of_outputs;
    if (!has_gradient(dy)) return result;
    for (std::size_t i = 0; i < dy.size(); ++i)
      if (dy[i].defined() && ctx->needs_input_grad(1 + i)) result[1 + i] = device().product(dy[i].t(), x);
    if (ctx->needs_input_grad(0))
      result[0] =
          input_gradient(dy, weights, x.size(0), x.scalar_type()).to(x.scalar_type()).view(saved[0].sizes());
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

std::vector<TernaryWeight> device_ternarize(std::span<const at::Tensor> masters) {
  const std::int64_t inputs = masters.front().size(1);
  std::int64_t rows = kOutputMultiple - 1;
  for (const at::Tensor& master : masters) rows += master.size(0);
  const at::Tensor all = at::empty({rows, code_row_bytes(inputs)}, options_of(masters.front(), at::kChar));
  all.narrow(0, rows - (kOutputMultiple - 1), kOutputMultiple - 1).zero_();
  std::vector<TernaryWeight> weights;
  std::int64_t begin = 0;
  for (const at::Tensor& master : masters) {
    const at::Tensor weight = device_matrix(master.detach(), "weight");
    A48_CHECK(weight.scalar_type() == at::kFloat, ErrorKind::config, "a master weight is ",
              weight.scalar_type(), "; masters are fp32");
    A48_ASSERT(weight.size(1) == inputs, "matrices on one input", inputs, weight.size(1));
    const std::int64_t outputs = weight.size(0);
    TernaryWeight result;
    result.padded = all.narrow(0, begin, rows - begin);
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
    weights.push_back(std::move(result));
    begin += outputs;
  }
  return weights;
}

std::vector<at::Tensor> device_bit_linear(const at::Tensor& x, std::span<const LinearWeight> weights,
                                          const LinearInput& input) {
  const std::vector<at::Tensor> tracked = tracked_of(weights, input.gain);
  if (wants_grad(x) || wants_grad(tracked))
    return DeviceBitLinear::apply(x, at::TensorList(tracked), weights, input);
  const Quantized q = quantize(device_matrix(x.detach(), "input"), input, weights.front().name, false);
  const std::vector<at::Tensor> outputs = multiply(x, q, weights);
  if (input.glu) return {device_gated(outputs[0], outputs[1], *input.glu)};
  return outputs;
}

std::vector<at::Tensor> device_ternary_linear(const at::Tensor& x, std::span<const LinearWeight> weights) {
  const std::vector<at::Tensor> tracked = tracked_of(weights);
  if (wants_grad(x) || wants_grad(tracked))
    return DeviceTernaryLinear::apply(x, at::TensorList(tracked), weights);
  const at::Tensor matrix = device_matrix(x.detach(), "input");
  const DeviceWeights all = device_weights(weights);
  const at::Tensor products =
      device().product(matrix, weight_operand(all, matrix.scalar_type()).t());  // [R, Σ N_i]
  std::vector<at::Tensor> outputs;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    watch_weight(weights[i].name + " weight", weights[i].ternary.device_status);
    const at::Tensor y = at::mul(all.part(products, 1, i), all.alphas[i]);
    outputs.push_back(y.to(x.scalar_type()).view(sizes_with_last(x, all.outputs[i])));
  }
  return outputs;
}

Codes device_encode(const at::Tensor& x, quant::Scheme scheme) {
  const at::Tensor matrix = device_matrix(x.detach(), "input");
  if (scheme == quant::Scheme::ternary) {
    const TernaryWeight weight = device_ternarize({&matrix, 1}).front();
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
