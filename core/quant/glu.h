// The gated activations, element by element, with their exact derivatives (numerics.md 3, 4.2).
#pragma once

#include "core/base/fmath.h"
#include "core/base/host_device.h"

namespace a48::quant {

/// relu2: f = (r·r)·up with r = max(gate, 0), and +0 wherever gate <= 0, whatever up is. A NaN gate stays
/// NaN.
A48_INLINE float relu2_glu(float gate, float up) { return gate <= 0.0f ? 0.0f : (gate * gate) * up; }

/// silu: (gate / (1 + exp(−gate)))·up.
A48_INLINE float silu_glu(float gate, float up) { return (gate / (1.0f + exp_f32(-gate))) * up; }

struct GluGradient {
  float gate, up;
};

/// dup = dy·r², dgate = (dy·up)·2r; both +0 wherever gate <= 0.
A48_INLINE GluGradient relu2_glu_gradient(float gate, float up, float dy) {
  if (gate <= 0.0f) return {0.0f, 0.0f};
  return {(dy * up) * (gate + gate), dy * (gate * gate)};
}

/// σ = 1/(1 + exp(−gate)): dup = dy·(gate/(1 + exp(−gate))), dgate = (dy·up)·(σ·(1 + gate·(1 − σ))).
A48_INLINE GluGradient silu_glu_gradient(float gate, float up, float dy) {
  const float denominator = 1.0f + exp_f32(-gate);
  const float sigma = 1.0f / denominator;
  return {(dy * up) * (sigma * (1.0f + gate * (1.0f - sigma))), dy * (gate / denominator)};
}

}  // namespace a48::quant
