#include "training/optimizer.h"

#include <cmath>

#include "core/base/rng.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"
#include "training/step.h"

namespace a48::test {
namespace {

using namespace a48::train;

at::Tensor random_tensor(at::IntArrayRef shape, std::uint64_t stream, double scale) {
  const at::Tensor tensor = at::empty(shape);
  float* x = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    x[i] = static_cast<float>(scale * random_normal(seed(), stream, static_cast<std::uint64_t>(i)));
  }
  return tensor;
}

NamedTensors two_parameters() {
  NamedTensors parameters{{"matrix", random_tensor({7, 5}, 1, 0.1)}, {"gain", at::ones({9})}};
  for (auto& [name, parameter] : parameters) parameter.requires_grad_();
  return parameters;
}

TEST_CASE("P2: a hundred fused AdamW steps agree with a scalar one in fp64") {
  NamedTensors parameters = two_parameters();
  AdamW optimizer(parameters);
  config::Optim optim;
  optim.grad_clip = 1.0;
  const double lr = 3e-3, decay = 0.1;

  struct Scalar {
    double w, m = 0.0, v = 0.0;
  };
  std::vector<std::vector<Scalar>> reference;
  for (const auto& [name, parameter] : parameters) {
    std::vector<Scalar> values;
    for (std::int64_t i = 0; i < parameter.numel(); ++i) {
      values.push_back({static_cast<double>(parameter.const_data_ptr<float>()[i])});
    }
    reference.push_back(values);
  }

  const int steps = 100;
  for (int step = 1; step <= steps; ++step) {
    double square = 0.0;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      at::Tensor& parameter = parameters[p].second;
      const auto stream = static_cast<std::uint64_t>(1000 * step) + p;
      parameter.mutable_grad() = random_tensor(parameter.sizes(), stream, step % 3 == 0 ? 2.0 : 0.05);
      for (std::int64_t i = 0; i < parameter.numel(); ++i) {
        square += std::pow(static_cast<double>(parameter.grad().const_data_ptr<float>()[i]), 2);
      }
    }
    const double scale = std::max(std::sqrt(square) / optim.grad_clip, 1.0);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const at::Tensor& parameter = parameters[p].second;
      const double shrink = parameter.dim() >= 2 ? 1.0 - lr * decay : 1.0;
      for (std::int64_t i = 0; i < parameter.numel(); ++i) {
        Scalar& s = reference[p][static_cast<std::size_t>(i)];
        const double g = static_cast<double>(parameter.grad().const_data_ptr<float>()[i]) / scale;
        s.m = optim.beta1 * s.m + (1.0 - optim.beta1) * g;
        s.v = optim.beta2 * s.v + (1.0 - optim.beta2) * g * g;
        const double m_hat = s.m / (1.0 - std::pow(optim.beta1, step));
        const double v_hat = s.v / (1.0 - std::pow(optim.beta2, step));
        s.w = s.w * shrink - lr * m_hat / (std::sqrt(v_hat) + optim.epsilon);
      }
    }
    const at::Tensor norm = global_norm(optimizer.gradients());
    optimizer.update(optim, lr, decay, (norm / optim.grad_clip).clamp_min(1.0), at::zeros({}));
    optimizer.count_update();
  }
  CHECK(optimizer.applied() == steps);

  // An update is at most lr·(1 − β1)/√(1 − β2) long and passes about 16 roundings; weights lose one rounding
  // in each step.
  const double longest = lr * (1.0 - optim.beta1) / std::sqrt(1.0 - optim.beta2);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    for (std::int64_t i = 0; i < parameters[p].second.numel(); ++i) {
      const double expected = reference[p][static_cast<std::size_t>(i)].w;
      const double found = static_cast<double>(parameters[p].second.const_data_ptr<float>()[i]);
      const double tolerance =
          steps * (chain_tolerance(16, longest) + chain_tolerance(2, std::abs(expected) + longest));
      CHECK(std::abs(found - expected) <= tolerance);
    }
  }
}

TEST_CASE("P2: every parameter is in exactly one group; matrices decay, gains do not") {
  const AdamW optimizer(two_parameters());
  REQUIRE(optimizer.groups().size() == 2);
  CHECK(optimizer.groups()[0].names == std::vector<std::string>{"matrix"});
  CHECK(optimizer.groups()[0].decays);
  CHECK(optimizer.groups()[1].names == std::vector<std::string>{"gain"});
  CHECK_FALSE(optimizer.groups()[1].decays);
  const NamedTensors moments = optimizer.moments();
  REQUIRE(moments.size() == 4);
  CHECK(moments[0].first == "m.matrix");
  CHECK(moments[3].first == "v.gain");
}

TEST_CASE("P1, check 35: moments are fp32 and an update of 1e-4·|w| is not lost") {
  for (const double weight : {1.0, -0.02, 37.5}) {
    NamedTensors parameters{{"matrix", at::full({1, 1}, weight).requires_grad_()}};
    AdamW optimizer(parameters);
    for (const auto& [name, moment] : optimizer.moments()) CHECK(moment.scalar_type() == at::kFloat);
    const double before = static_cast<double>(*parameters[0].second.const_data_ptr<float>());
    parameters[0].second.mutable_grad() = at::ones({1, 1});
    const double update = 1e-4 * std::abs(weight);  // the first update is as long as the learning rate
    optimizer.update(config::Optim{}, update, 0.0, at::ones({}), at::zeros({}));
    const double moved = before - static_cast<double>(*parameters[0].second.const_data_ptr<float>());
    CHECK(std::abs(moved - update) <= chain_tolerance(1, std::abs(weight)));
  }
}

TEST_CASE("a rejected update leaves weights and moments bit-unchanged") {
  NamedTensors parameters = two_parameters();
  AdamW optimizer(parameters);
  const at::Tensor before = parameters[0].second.detach().clone();
  for (auto& [name, parameter] : parameters) parameter.mutable_grad() = at::ones_like(parameter);
  optimizer.update(config::Optim{}, 1e-3, 0.1, at::ones({}), at::ones({}));
  CHECK(at::equal(before, parameters[0].second));
  for (const auto& [name, moment] : optimizer.moments()) CHECK_FALSE(moment.any().item<bool>());
}

}  // namespace
}  // namespace a48::test
