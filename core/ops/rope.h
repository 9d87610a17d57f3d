// Rotary positions, half-split (numerics.md 3). Next: core/kernels/api.h (rope_rows).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace a48::ops {

/// cos and sin of every position, from the one builder of core/kernels/rope_table.h.
struct RopeTables {
  at::Tensor cos, sin;  // [positions, hd/2]
};
RopeTables rope_tables(std::int64_t positions, std::int64_t head_dim, double theta);

/// x [R, heads·hd], position int32 [R] -> x with every head rotated. Backward: rotates back. On a GPU the
/// positions are not looked at: they are the caller's promise.
at::Tensor rope(const at::Tensor& x, const at::Tensor& position, std::int64_t heads,
                const RopeTables& tables);

}  // namespace a48::ops
