// Normal numbers by counter, split over threads. Next: core/base/rng.h.
#include "modules/init.h"

#include <cmath>

#include "core/base/parallel.h"
#include "core/base/rng.h"

namespace a48::nn {
namespace {

constexpr std::int64_t kGrain = 1 << 14;

void fill_normal(at::Tensor& parameter, double std, std::uint64_t seed, std::uint64_t stream) {
  float* values = parameter.data_ptr<float>();
  parallel_for(parameter.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      values[i] = static_cast<float>(std * random_normal(seed, stream, static_cast<std::uint64_t>(i)));
    }
  });
}

bool is_ternary_matrix(const std::string& name) { return name.ends_with("_proj.weight"); }

}  // namespace

void initialise(torch::nn::Module& module, const std::string& prefix, const config::Model& model,
                std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    at::Tensor parameter = item.value();
    if (parameter.is_meta()) continue;
    if (parameter.dim() == 1) {
      parameter.fill_(1.0f);
      continue;
    }
    const std::string name = prefix + item.key();
    const bool scaled = model.scaled_init && is_ternary_matrix(name);
    const double std =
        scaled ? 1.0 / std::sqrt(static_cast<double>(parameter.size(1))) : model.initializer_range;
    // The same numbers for every device: made on the CPU.
    at::Tensor values = parameter.is_cpu() ? parameter : torch::empty(parameter.sizes());
    fill_normal(values, std, seed, stream_of(("init:" + name).c_str()));
    if (!parameter.is_cpu()) parameter.copy_(values);
    parameter.unsafeGetTensorImpl()->bump_version();  // written behind autograd's back
  }
}

}  // namespace a48::nn
