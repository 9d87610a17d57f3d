// Argmax, or a walk along the candidates sorted by probability.
#include "core/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/check.h"

namespace a48::runtime {
namespace {

/// Candidates from the likeliest down; `kept` of them are sorted, the others are dropped.
std::vector<std::int32_t> likeliest(std::span<const float> logits, std::size_t kept) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const float la = logits[static_cast<std::size_t>(a)], lb = logits[static_cast<std::size_t>(b)];
    return la != lb ? la > lb : a < b;
  };
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(kept);
  std::partial_sort(order.begin(), end, order.end(), before);
  order.erase(end, order.end());
  return order;
}

}  // namespace

void check_sampler(const SamplerOptions& options) {
  A48_CHECK(options.temperature >= 0 && std::isfinite(options.temperature), ErrorKind::config,
            "temperature is ", options.temperature, "; allowed are 0 and more");
  A48_CHECK(options.top_k >= 0, ErrorKind::config, "top-k is ", options.top_k,
            "; allowed are 0 (off) and more");
  A48_CHECK(options.top_p > 0 && options.top_p <= 1, ErrorKind::config, "top-p is ", options.top_p,
            "; allowed are numbers above 0, up to 1 (off)");
}

std::int32_t sample(std::span<const float> logits, const SamplerOptions& options, double uniform) {
  A48_ASSERT(!logits.empty() && uniform >= 0 && uniform < 1, "logits ", logits.size(), ", uniform ", uniform);
  for (std::size_t v = 0; v < logits.size(); ++v)
    A48_CHECK(std::isfinite(logits[v]), ErrorKind::not_finite, "the logit of token ", v, " is ", logits[v],
              "; the model's weights or activations have overflowed");
  const auto highest = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (options.temperature == 0) return static_cast<std::int32_t>(highest - logits.begin());

  const bool limited = options.top_k > 0 && options.top_k < static_cast<std::int64_t>(logits.size());
  const std::vector<std::int32_t> order =
      likeliest(logits, limited ? static_cast<std::size_t>(options.top_k) : logits.size());
  std::vector<double> weights(order.size());
  double total = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double logit = logits[static_cast<std::size_t>(order[i])];
    total += weights[i] = std::exp((logit - static_cast<double>(*highest)) / options.temperature);
  }
  std::size_t kept = order.size();
  if (options.top_p < 1) {
    double reached = 0.0;
    for (kept = 0; kept < order.size() && reached < options.top_p * total; ++kept) reached += weights[kept];
    total = reached;
  }
  double remaining = uniform * total;
  for (std::size_t i = 0; i < kept; ++i) {
    remaining -= weights[i];
    if (remaining < 0) return order[i];
  }
  return order[kept - 1];  // rounding may leave a hair over
}

}  // namespace a48::runtime
