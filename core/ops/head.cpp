// Logits and loss, a few rows at a time. Next: core/kernels/cpu/head_rows.cpp (exact head).
#include "core/ops/head.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "core/ops/device_views.h"
#include "core/ops/saved_bytes.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor exact_logits(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor matrix = matrix_of(x, "hidden"), table = matrix_of(weight, "head");
  at::Tensor logits = empty_matrix(matrix.size(0), table.size(0));
  kernels::head_rows({.x = rows_of<const float>(matrix),
                      .weight = rows_of<const float>(table),
                      .logits = rows_of<float>(logits)});
  return logits.view(sizes_with_last(x, table.size(0)));
}

struct ExactHead : torch::autograd::Function<ExactHead> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            BackwardDtype dtype) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["backward"] = static_cast<std::int64_t>(dtype);
    note_saved("head", x);
    return exact_logits(x, weight);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto dtype = static_cast<BackwardDtype>(ctx->saved_data["backward"].toInt());
    const at::Tensor dy = matrix_of(grads[0], "gradient"), x = matrix_of(saved[0], "hidden");
    at::Tensor dx = empty_matrix(x.size(0), x.size(1)), dweight = empty_matrix(dy.size(1), x.size(1));
    add_product(dx, {dy}, {matrix_of(saved[1], "head")}, 1.0, false, dtype);
    add_product(dweight, {dy, true}, {x}, 1.0, false, dtype);
    return {dx.view(saved[0].sizes()), dweight, at::Tensor()};
  }
};

/// Rows of logits at a time: about 4 MiB, which stays in cache between the passes.
std::int64_t rows_per_chunk(std::int64_t vocab) {
  return std::max<std::int64_t>(32, (std::int64_t{1} << 20) / vocab);
}

struct LossParts {
  at::Tensor loss;         // fp32 scalar
  at::Tensor dx, dweight;  // of the loss; undefined when not asked for
};

LossParts loss_in_chunks(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target,
                         bool gradients, BackwardDtype dtype) {
  const std::int64_t rows = x.size(0), vocab = weight.size(0);
  const std::int64_t* label = target.data_ptr<std::int64_t>();
  LossParts parts;
  double loss = 0.0;
  if (gradients) {
    parts.dx = empty_matrix(rows, x.size(1));
    parts.dweight = empty_matrix(vocab, x.size(1));
  }
  for (std::int64_t begin = 0; begin < rows; begin += rows_per_chunk(vocab)) {
    const std::int64_t count = std::min(rows_per_chunk(vocab), rows - begin);
    const at::Tensor part = x.narrow(0, begin, count);
    at::Tensor log_p = at::_log_softmax(at::mm(part, weight.t()), 1, false);  // [count, V]
    float* values = log_p.data_ptr<float>();
    for (std::int64_t r = 0; r < count; ++r)
      loss -= static_cast<double>(values[r * vocab + label[begin + r]]);
    if (!gradients) continue;
    log_p.exp_();  // d loss / d logits = p − onehot(target)
    for (std::int64_t r = 0; r < count; ++r) values[r * vocab + label[begin + r]] -= 1.0f;
    at::Tensor dx = parts.dx.narrow(0, begin, count);
    add_product(dx, {log_p}, {weight}, 1.0, false, dtype);
    add_product(parts.dweight, {log_p, true}, {part}, 1.0, begin > 0, dtype);
  }
  parts.loss = at::scalar_tensor(loss, at::kFloat);
  return parts;
}

/// On a device: half a gigabyte of logits, few passes over the weight's gradient.
std::int64_t device_rows_per_chunk(std::int64_t vocab) {
  return std::max<std::int64_t>(32, (std::int64_t{1} << 27) / vocab);
}

/// The same on a device, without waiting for it: logits are sums in fp32 of x's type times the weight in that
/// type.
LossParts device_loss_in_chunks(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target,
                                bool gradients, BackwardDtype dtype) {
  const std::int64_t rows = x.size(0), vocab = weight.size(0);
  const at::ScalarType operand = operand_type(dtype);
  const at::Tensor table = weight.to(x.scalar_type());
  const at::Tensor table_operand = gradients ? weight.to(operand) : at::Tensor();
  LossParts parts;
  if (gradients) {
    parts.dx = at::empty(x.sizes(), x.options());
    parts.dweight = at::zeros(weight.sizes(), weight.options());
  }
  at::Tensor loss = at::zeros({}, x.options().dtype(at::kDouble));
  for (std::int64_t begin = 0; begin < rows; begin += device_rows_per_chunk(vocab)) {
    const std::int64_t count = std::min(device_rows_per_chunk(vocab), rows - begin);
    const at::Tensor part = x.narrow(0, begin, count), labels = target.narrow(0, begin, count).unsqueeze(1);
    at::Tensor log_p = at::_log_softmax(device().product(part, table.t()), 1, false);  // [count, V]
    loss.sub_(log_p.gather(1, labels).sum(at::kDouble));
    if (!gradients) continue;
    log_p.exp_();
    log_p.scatter_(1, labels, log_p.gather(1, labels) - 1.0);
    const at::Tensor dlogits = log_p.to(operand);
    parts.dx.narrow(0, begin, count).copy_(device().product(dlogits, table_operand));
    parts.dweight.add_(device().product(dlogits.t(), part.to(operand)));
  }
  parts.loss = loss.to(at::kFloat);
  return parts;
}

LossParts loss_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target, bool gradients,
                  BackwardDtype dtype) {
  if (on_device(x))
    return device_loss_in_chunks(device_matrix(x, "hidden"), weight.detach(), target, gradients, dtype);
  return loss_in_chunks(matrix_of(x, "hidden"), matrix_of(weight, "head"), target, gradients, dtype);
}

struct HeadLoss : torch::autograd::Function<HeadLoss> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& target, BackwardDtype dtype) {
    const LossParts parts = loss_of(x, weight, target, true, dtype);
    ctx->save_for_backward({parts.dx, parts.dweight});
    note_saved("head", {parts.dx, parts.dweight});
    return parts.loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], at::Tensor(), at::Tensor()};
  }
};

/// fp32 logits, sums in fp32; with a gradient LibTorch's product in x's type.
at::Tensor device_logits(const at::Tensor& x, const at::Tensor& weight) {
  if (wants_grad({x, weight})) return at::linear(x, weight.to(x.scalar_type()));
  const at::Tensor logits =
      device().product(device_matrix(x, "hidden"), weight.detach().to(x.scalar_type()).t());
  return logits.view(sizes_with_last(x, weight.size(0)));
}

}  // namespace

at::Tensor exact_head(const at::Tensor& x, const at::Tensor& weight, BackwardDtype dtype) {
  A48_CHECK(weight.dim() == 2 && weight.size(1) == x.size(-1), ErrorKind::config, "head: the input has ",
            x.size(-1), " features, the weight is ", weight.sizes());
  if (on_device(x)) return device_logits(x, weight);
  return wants_grad({x, weight}) ? ExactHead::apply(x, weight, dtype)
                                 : exact_logits(x.detach(), weight.detach());
}

void check_targets(const at::Tensor& target, std::int64_t rows, std::int64_t vocab) {
  A48_CHECK(target.dim() == 1 && target.size(0) == rows && target.scalar_type() == at::kLong &&
                target.is_contiguous(),
            ErrorKind::config, "loss: one int64 target per row is needed");
  if (on_device(target)) return;  // checked before they were sent there
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t label = target.data_ptr<std::int64_t>()[r];
    A48_CHECK(label >= 0 && label < vocab, ErrorKind::bad_input, "loss: target ", label, " in row ", r,
              "; allowed: 0 to ", vocab - 1);
  }
}

at::Tensor head_loss_sum(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target,
                         BackwardDtype dtype) {
  check_targets(target, x.size(0), weight.size(0));
  if (wants_grad({x, weight})) return HeadLoss::apply(x, weight, target, dtype);
  return loss_of(x.detach(), weight.detach(), target, false, dtype).loss;
}

}  // namespace a48::ops
