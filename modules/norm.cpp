// Next: core/ops/rms_norm.cpp.
#include "modules/norm.h"

#include "core/ops/rms_norm.h"

namespace a48::nn {

RMSNormImpl::RMSNormImpl(std::int64_t width, double eps, torch::Device device) : eps_(eps) {
  weight = register_parameter("weight", torch::ones({width}, device));
}

at::Tensor RMSNormImpl::forward(const at::Tensor& x) { return ops::rms_norm(x, weight, eps_); }

}  // namespace a48::nn
