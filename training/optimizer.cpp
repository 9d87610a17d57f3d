#include "training/optimizer.h"

#include "core/base/check.h"

namespace a48::train {

std::int64_t AdamW::Group::weights() const {
  std::int64_t sum = 0;
  for (const at::Tensor& parameter : parameters) sum += parameter.numel();
  return sum;
}

AdamW::AdamW(const NamedTensors& parameters) : parameters_(parameters) {
  groups_ = {Group{"decay", true, {}, {}, {}, {}}, Group{"no-decay", false, {}, {}, {}, {}}};
  for (const auto& [name, parameter] : parameters_) {
    A48_ASSERT(parameter.scalar_type() == at::kFloat && parameter.is_contiguous(), name,
               " is no fp32 master");
    Group& group = groups_[parameter.dim() >= 2 ? 0 : 1];
    group.names.push_back(name);
    group.parameters.push_back(parameter);
    group.first.push_back(at::zeros_like(parameter));
    group.second.push_back(at::zeros_like(parameter));
  }
}

NamedTensors AdamW::moments() const {
  NamedTensors result;
  std::size_t next[2] = {0, 0};
  for (const auto& [name, parameter] : parameters_) {
    const std::size_t which = parameter.dim() >= 2 ? 0 : 1;
    const std::size_t i = next[which]++;
    result.emplace_back("m." + name, groups_[which].first[i]);
    result.emplace_back("v." + name, groups_[which].second[i]);
  }
  return result;
}

void AdamW::clear_gradients() {
  for (auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

std::vector<at::Tensor> AdamW::gradients() const {
  std::vector<at::Tensor> result;
  for (const auto& [name, parameter] : parameters_) {
    A48_ASSERT(parameter.grad().defined(), "no gradient for ", name);
    result.push_back(parameter.grad());
  }
  return result;
}

std::vector<at::Tensor> AdamW::weights() const {
  std::vector<at::Tensor> result;
  for (const auto& [name, parameter] : parameters_) result.push_back(parameter);
  return result;
}

void AdamW::update(const config::Optim& optim, double learning_rate, double weight_decay,
                   const at::Tensor& scale, const at::Tensor& rejected) {
  const at::NoGradGuard no_grad;
  for (Group& group : groups_) {
    if (group.parameters.empty()) continue;
    // The op reads the number of this update, counted from 1, exact in fp32 below 2^24.
    const at::Tensor number = at::full({}, static_cast<double>(applied_ + 1),
                                       group.parameters.front().options().requires_grad(false));
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : group.parameters) gradients.push_back(parameter.grad());
    const std::vector<at::Tensor> numbers(group.parameters.size(), number);
    at::_fused_adamw_(group.parameters, gradients, group.first, group.second, {}, numbers, learning_rate,
                      optim.beta1, optim.beta2, group.decays ? weight_decay : 0.0, optim.epsilon,
                      /*amsgrad=*/false,
                      /*maximize=*/false, scale, rejected);
  }
}

}  // namespace a48::train
