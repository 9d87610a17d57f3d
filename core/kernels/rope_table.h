// cos and sin of the rotary embedding: one builder for training and runtime (numerics E6).
#pragma once

#include <cstdint>

#include "core/base/buffer.h"

namespace a48::kernels {

/// angle(p, i) = p·θ^(−2i/hd) in fp64; cos and sin in fp64, rounded to fp32.
struct RopeTable {
  std::int64_t positions = 0, half = 0;  // half = hd/2
  Buffer<float> cos, sin;                // [positions, hd/2]
};
RopeTable build_rope_table(std::int64_t positions, std::int64_t head_dim, double theta);

}  // namespace a48::kernels
