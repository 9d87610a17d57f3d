// Hop 3 of the training walk: micro-batches forward and backward, then clip and update, or reject the whole
// step. The network, with shapes: modules/causal_lm.cpp.
#include "training/step.h"

#include "core/base/check.h"
#include "core/ops/status.h"
#include "training/guard.h"

namespace a48::train {
namespace {

std::int64_t predicted_tokens(const std::vector<at::Tensor>& micro_batches) {
  std::int64_t tokens = 0;
  for (const at::Tensor& ids : micro_batches) tokens += ids.size(0) * (ids.size(1) - 1);
  return tokens;
}

/// Σ NLL / tokens; gradients are left in the parameters.
at::Tensor forward_and_backward(nn::BitNetForCausalLM& model, const std::vector<at::Tensor>& micro_batches) {
  const std::int64_t tokens = predicted_tokens(micro_batches);
  at::Tensor total = at::zeros({}, at::TensorOptions(model->model->device()).dtype(at::kDouble));
  for (const at::Tensor& ids : micro_batches) {
    const at::Tensor sum = model->loss_sum(ids);
    (sum / static_cast<double>(tokens)).backward();
    total += sum.detach().to(at::kDouble);
  }
  return total / static_cast<double>(tokens);
}

/// What the gradients are divided by: max(norm / limit, 1).
at::Tensor clip_scale(const at::Tensor& norm, double limit) {
  if (limit <= 0.0) return at::ones({}, norm.options());
  return (norm / limit).clamp_min(1.0);
}

}  // namespace

NamedTensors parameters_of(const nn::BitNetForCausalLM& model) {
  NamedTensors parameters;
  for (const auto& item : model->named_parameters()) parameters.emplace_back(item.key(), item.value());
  return parameters;
}

at::Tensor global_norm(at::TensorList tensors) {
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(tensors)));
}

std::vector<at::Tensor> split_batch(const at::Tensor& ids, std::int64_t micro) { return ids.split(micro, 0); }

StepResult train_step(nn::BitNetForCausalLM& model, AdamW& optimizer, const config::Optim& optim,
                      const StepPlan& plan, const std::vector<at::Tensor>& micro_batches) {
  ops::reset_non_finite();
  optimizer.clear_gradients();
  const at::Tensor loss = forward_and_backward(model, micro_batches);

  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = optimizer.gradients();
  const at::Tensor norm = global_norm(gradients);
  const at::Tensor rejected = rejection_flag(loss, norm, global_norm(optimizer.weights()));  // 1 = rejected
  optimizer.update(optim, plan.learning_rate, plan.weight_decay, clip_scale(norm, optim.grad_clip), rejected);

  // The step's only wait for a device: what the log needs, in one copy.
  const auto wide = [](const at::Tensor& scalar) { return scalar.to(at::kDouble); };
  const at::Tensor seen =
      at::stack({wide(loss), wide(norm), wide(rejected), wide(global_norm(optimizer.weights()))}).cpu();
  const double* const value = seen.const_data_ptr<double>();
  StepResult result;
  result.loss = value[0];
  result.grad_norm = value[1];
  result.param_norm = value[3];
  if (value[2] == 0.0) {
    optimizer.count_update();
    model->weights_changed();
  } else {
    result.rejected = rejection_reason(result.loss, result.grad_norm);
  }
  return result;
}

}  // namespace a48::train
