// The gradient of an fp32 operation against the numeric Jacobian of a double-precision reference: one helper
// for every autograd test. Torch comes through the precompiled header.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/rng.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {

using Operation = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

/// N(0, 1) from the seed of the tests; `stream` tells tensors apart.
inline at::Tensor normal(std::vector<std::int64_t> sizes, std::uint64_t stream) {
  at::Tensor x = torch::empty(sizes);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.data_ptr<float>()[i] = static_cast<float>(random_normal(seed(), stream, static_cast<std::uint64_t>(i)));
  }
  return x;
}

/// ‖a − b‖ / ‖b‖ in double.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wanted = b.to(torch::kDouble);
  return (a.to(torch::kDouble) - wanted).norm().item<double>() / wanted.norm().item<double>();
}

/// Bits of two fp32 tensors of one shape.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() &&
         torch::equal(a.contiguous().view(torch::kInt), b.contiguous().view(torch::kInt));
}

/// An fp32 gradient that sums `terms` products, each of at most kRoundedFactors rounded factors, relative to
/// its own norm. Cancellation takes away a few bits: random weights of the output make sums about √terms of
/// terms magnitudes.
inline constexpr int kRoundedFactors = 16;
inline double gradient_tolerance(std::int64_t terms) {
  return static_cast<double>(terms + kRoundedFactors) * kUnitRoundoff * std::sqrt(static_cast<double>(terms));
}

/// For L = Σ w ⊙ f(inputs), w random: relative error of each gradient of `operation` (fp32) against central
/// differences of `reference` (double). Inputs without a gradient wanted are passed inside the functions.
inline std::vector<double> gradient_errors(const Operation& operation, const Operation& reference,
                                           const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves, doubles;
  for (const at::Tensor& input : inputs) {
    leaves.push_back(input.detach().clone().requires_grad_());
    doubles.push_back(input.detach().to(torch::kDouble));
  }
  const at::Tensor y = operation(leaves);
  const at::Tensor weight = normal(y.sizes().vec(), 77);
  y.backward(weight);

  const at::Tensor weight_in_double = weight.to(torch::kDouble);
  const auto value = [&] { return (reference(doubles) * weight_in_double).sum().item<double>(); };
  std::vector<double> errors;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    at::Tensor numeric = torch::empty_like(doubles[i]);
    double* x = doubles[i].data_ptr<double>();
    for (std::int64_t k = 0; k < doubles[i].numel(); ++k) {
      const double before = x[k], h = kDifferenceStep * std::max(1.0, std::abs(before));
      x[k] = before + h;
      const double above = value();
      x[k] = before - h;
      const double below = value();
      x[k] = before;
      numeric.data_ptr<double>()[k] = (above - below) / (2 * h);
    }
    errors.push_back(relative_error(leaves[i].grad(), numeric));
  }
  return errors;
}

}  // namespace a48::test
