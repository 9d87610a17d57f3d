// RMSNorm with a learnable gain. Next: core/ops/rms_norm.h.
#pragma once

#include <cstdint>

namespace a48::nn {

class RMSNormImpl : public torch::nn::Module {
 public:
  explicit RMSNormImpl(std::int64_t width, double eps = 1e-5, torch::Device device = torch::kCPU);

  /// x [..., width] -> same shape.
  at::Tensor forward(const at::Tensor& x);
  double eps() const { return eps_; }

  at::Tensor weight;  // gain [width], 1 at first

 private:
  double eps_;
};
TORCH_MODULE(RMSNorm);

}  // namespace a48::nn
