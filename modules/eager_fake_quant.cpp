// Next: core/quant/math.h has the same formulas, as kernels compute them.
#include "modules/eager_fake_quant.h"

#include "core/base/check.h"
#include "core/quant/math.h"
#include "core/quant/topk.h"

namespace a48::nn {
namespace {

at::Tensor largest_magnitude(const at::Tensor& x) {
  return x.abs().amax(-1, true).clamp_min(quant::kStatisticFloor);
}
at::Tensor mean_magnitude(const at::Tensor& x) {
  return x.abs().mean(-1, true).clamp_min(quant::kStatisticFloor);
}

at::Tensor rounded(const at::Tensor& x, const at::Tensor& statistic, const quant::SchemeRow& row) {
  const at::Tensor scale = row.inverse_numerator / statistic;
  return (x * scale).round().clamp(row.min_code, row.max_code) / scale;
}

/// Magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6 of x·6/largest, by the bounds between them.
at::Tensor on_fp4_grid(const at::Tensor& x) {
  const at::Tensor scale = 6.0 / largest_magnitude(x), y = x * scale;
  const at::Tensor bounds = torch::tensor({0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0}, y.options());
  const at::Tensor levels = torch::tensor({0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0}, y.options());
  return levels.index_select(0, at::bucketize(y.abs(), bounds).flatten()).view(y.sizes()) * y.sign() / scale;
}

at::Tensor quantized(const at::Tensor& x, quant::Scheme scheme) {
  switch (scheme) {
    case quant::Scheme::fp:
      return x;
    case quant::Scheme::int8:
      return rounded(x, largest_magnitude(x), quant::row_of(scheme));
    case quant::Scheme::int4:
      return rounded(x, mean_magnitude(x), quant::row_of(scheme));
    case quant::Scheme::fp4:
      return on_fp4_grid(x);
    default:
      fail(ErrorKind::config, quant::row_of(scheme).name, " has no eager form");
  }
}

}  // namespace

at::Tensor eager_fake_quant(const at::Tensor& x, quant::Scheme scheme, double keep) {
  const at::Tensor source = x.detach();
  at::Tensor values = quantized(source, scheme);
  if (keep < 1.0) {
    const std::int64_t count = quant::topk_count(keep, x.size(-1));
    const at::Tensor places = std::get<1>(at::topk(source.abs(), count, -1, true, false));
    values = values * at::zeros_like(source).scatter_(-1, places, 1.0);
  }
  return x + (values - source);
}

at::Tensor eager_ternary(const at::Tensor& weight) {
  const at::Tensor source = weight.detach(), alpha = source.abs().mean().clamp_min(quant::kStatisticFloor);
  return weight + ((source / alpha).round().clamp(-1, 1) * alpha - source);
}

}  // namespace a48::nn
