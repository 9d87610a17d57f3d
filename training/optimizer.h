// AdamW with decoupled decay over LibTorch's fused op: one call per group and step. Parameters are in exactly
// one of two groups: `decay` (matrices, embedding, head) and `no-decay` (gains). State: fp32 moments and the
// count of applied updates.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config/types.h"

namespace a48::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

class AdamW {
 public:
  struct Group {
    std::string name;
    bool decays = false;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters, first, second;  // fp32, same shapes: w, m, v
    std::int64_t weights() const;
  };

  /// `parameters`: each tensor once, fp32; one with two or more dimensions decays.
  explicit AdamW(const NamedTensors& parameters);

  const std::vector<Group>& groups() const { return groups_; }
  /// m.<name> and v.<name> of every parameter, in the order of the model.
  NamedTensors moments() const;
  std::int64_t applied() const { return applied_; }
  void set_applied(std::int64_t updates) { applied_ = updates; }

  /// Drops the gradients: the first micro-batch hands its own over, the others add to them.
  void clear_gradients();
  std::vector<at::Tensor> gradients() const;  // in the order of the model
  std::vector<at::Tensor> weights() const;    // likewise
  const NamedTensors& parameters() const { return parameters_; }

  /// w ← w·(1 − lr·decay) − lr·m̂/(√v̂ + ε), with bias correction by applied updates. `scale` (fp32 scalar)
  /// divides the gradients; where `rejected` (fp32 scalar) is 1 nothing changes, decided by the fused op
  /// itself, so no host has to wait for the answer. The caller tells with count_update() once it knows.
  void update(const config::Optim& optim, double learning_rate, double weight_decay, const at::Tensor& scale,
              const at::Tensor& rejected);
  void count_update() { ++applied_; }

 private:
  NamedTensors parameters_;
  std::vector<Group> groups_;
  std::int64_t applied_ = 0;
};

}  // namespace a48::train
