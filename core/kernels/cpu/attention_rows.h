// What the variants of attention_rows share: chunk, scale, and which key/value head serves a query head.
// Unit u of the operation is head u / R of row u mod R, so that neighbouring units read the same keys.
#pragma once

#include <math.h>

#include <cstdint>

#include "core/base/host_device.h"
#include "core/kernels/api.h"

namespace a48::kernels::cpu {

inline constexpr int kAttentionChunk = 256;  // positions (numerics.md 5.2)

/// σ = fp32(1/√hd)
A48_INLINE float score_scale(std::int64_t head_dim) {
  return static_cast<float>(1.0 / ::sqrt(static_cast<double>(head_dim)));
}

A48_INLINE std::int64_t key_value_head(const AttentionRows& a, std::int64_t head) {
  return head / (a.heads / a.kv_heads);
}

}  // namespace a48::kernels::cpu
