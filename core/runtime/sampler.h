// Choosing the next token from a row of logits. The random number comes from the caller, so that a choice is
// a pure function.
#pragma once

#include <cstdint>
#include <span>

namespace a48::runtime {

struct SamplerOptions {
  double temperature = 1.0;  // 0 = the highest logit, lowest index on ties
  std::int64_t top_k = 0;    // only the k likeliest; 0 = off
  double top_p = 1.0;        // only the likeliest that together reach p; 1 = off
};

/// Temperature >= 0, top_k >= 0, 0 < top_p <= 1; else Error(config).
void check_sampler(const SamplerOptions& options);

/// `uniform` in [0, 1) picks along the candidates, likeliest first, lowest index on ties. fp64 throughout.
/// A logit that is not finite is Error(not_finite).
std::int32_t sample(std::span<const float> logits, const SamplerOptions& options, double uniform);

}  // namespace a48::runtime
