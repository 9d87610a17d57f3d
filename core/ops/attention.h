// Causal attention of several sequences laid end to end as rows: LibTorch's fused kernel for training, or the
// exact path of numerics.md 0 and 5.2 with its derivative. Next: core/kernels/api.h (attention_rows).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace a48::ops {

struct AttentionShape {
  std::int64_t heads = 1, kv_heads = 1, head_dim = 0;
  /// [sequences + 1]: sequence s holds rows begin[s] … begin[s+1]−1, in order.
  std::vector<std::int64_t> begin;
};

/// q [R, H·hd], k and v [R, KV·hd] -> [R, H·hd]; row t sees the rows of its sequence up to itself. Scores are
/// scaled by fp32(1/√hd); key/value head j serves query heads j·H/KV … . exact_attention: bits of
/// numerics.md 5.2; sdpa_attention: close (check 25).
at::Tensor exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionShape& shape);
at::Tensor sdpa_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const AttentionShape& shape);

/// LibTorch's attention of the last n positions of a sequence: q [n, H·hd], all keys and values [L, KV·hd],
/// row i sees the first L − n + i + 1 of them.
at::Tensor attention_of_last(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim);

}  // namespace a48::ops
