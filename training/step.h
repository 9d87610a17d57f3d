// One optimizer step: micro-batches forward and backward, loss divided by the step's tokens, global norm,
// clipping inside the update, one fused AdamW call per group. Nothing in between waits for the device.
// Network: modules/causal_lm.h; update: optimizer.h.
#pragma once

#include <string>
#include <vector>

#include "core/config/types.h"
#include "modules/causal_lm.h"
#include "training/optimizer.h"
#include "training/stages.h"

namespace a48::train {

struct StepResult {
  double loss = 0.0;        // mean token cross entropy, nats
  double grad_norm = 0.0;   // before clipping
  double param_norm = 0.0;  // after the update
  std::string rejected;     // why nothing was applied (guard.h); empty = applied
};

/// `micro_batches`: ids [b, T+1] int64 each; sizes may differ, since tokens are the weights and not
/// micro-batches (numerics.md check 33). A non-finite loss, norm or quantizer input rejects the whole step:
/// weights, moments and the count of applied updates stay as they are, bit for bit. The gradients stay
/// readable until the next step.
StepResult train_step(nn::BitNetForCausalLM& model, AdamW& optimizer, const config::Optim& optim,
                      const StepPlan& plan, const std::vector<at::Tensor>& micro_batches);

/// The model's parameters under their names, each tensor once.
NamedTensors parameters_of(const nn::BitNetForCausalLM& model);

/// sqrt(Σ x²) over all tensors, an fp32 scalar on their device.
at::Tensor global_norm(at::TensorList tensors);

/// ids [rows, T+1] cut into micro-batches of `micro` rows (views).
std::vector<at::Tensor> split_batch(const at::Tensor& ids, std::int64_t micro);

}  // namespace a48::train
