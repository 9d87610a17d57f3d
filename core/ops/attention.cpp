// Two implementations of one attention. Next: core/kernels/cpu/attention_rows.cpp.
#include "core/ops/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/triu.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "core/kernels/api.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/saved_bytes.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using kernels::cpu::score_scale;

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const AttentionShape& shape) {
  const at::Tensor keys = matrix_of(k, "k"), values = matrix_of(v, "v"), queries = matrix_of(q, "q");
  const std::int64_t stride = keys.size(1);
  std::vector<kernels::KeyValueView> views;
  views.reserve(static_cast<std::size_t>(queries.size(0)));
  for (std::size_t s = 0; s + 1 < shape.begin.size(); ++s) {
    const std::int64_t first = shape.begin[s];
    for (std::int64_t row = first; row < shape.begin[s + 1]; ++row) {
      views.push_back({keys.data_ptr<float>() + first * stride, values.data_ptr<float>() + first * stride,
                       stride, row - first + 1});
    }
  }
  at::Tensor y = empty_matrix(queries.size(0), queries.size(1));
  kernels::attention_rows({.q = rows_of<const float>(queries),
                           .kv = views.data(),
                           .heads = shape.heads,
                           .kv_heads = shape.kv_heads,
                           .head_dim = shape.head_dim,
                           .y = rows_of<float>(y)});
  return y;
}

/// Rows of one sequence [T, heads·hd] as [kv_heads, group, T, hd].
at::Tensor grouped(const at::Tensor& rows, const AttentionShape& shape) {
  return rows.view({rows.size(0), shape.kv_heads, -1, shape.head_dim}).permute({1, 2, 0, 3});
}

/// Back to rows [T, heads·hd]; dims 0 and 1 are heads.
at::Tensor ungrouped(const at::Tensor& heads) {
  return heads.permute({2, 0, 1, 3}).reshape({heads.size(2), heads.size(0) * heads.size(1) * heads.size(3)});
}

struct Gradients {
  at::Tensor dq, dk, dv;
};

/// With P = softmax(σ·q·kᵀ) under the causal mask: dv = Pᵀ·do, dP = do·vᵀ, dS = P ⊙ (dP − Σ_t P ⊙ dP), dq =
/// σ·dS·k, dk = σ·dSᵀ·q; query heads of a group add up in dk and dv.
Gradients attend_backward(const at::Tensor& q_rows, const at::Tensor& k_rows, const at::Tensor& v_rows,
                          const at::Tensor& dy_rows, const AttentionShape& shape) {
  const at::Tensor q = grouped(q_rows, shape), k = grouped(k_rows, shape), v = grouped(v_rows, shape),
                   dy = grouped(dy_rows, shape);
  const double scale = score_scale(shape.head_dim);
  const std::int64_t length = q_rows.size(0);
  const at::Tensor future =
      at::triu(at::full({length, length}, -std::numeric_limits<float>::infinity(), at::kFloat), 1);
  const at::Tensor p =
      at::softmax(at::matmul(q, k.transpose(-2, -1)) * scale + future, -1);  // [KV, group, T, T]
  const at::Tensor dp = at::matmul(dy, v.transpose(-2, -1));
  const at::Tensor ds = p * (dp - at::sum(p * dp, -1, true)) * scale;
  return {ungrouped(at::matmul(ds, k)), ungrouped(at::matmul(ds.transpose(-2, -1), q).sum(1, true)),
          ungrouped(at::matmul(p.transpose(-2, -1), dy).sum(1, true))};
}

struct ExactAttention : torch::autograd::Function<ExactAttention> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const AttentionShape& shape) {
    ctx->save_for_backward({q, k, v});
    ctx->saved_data["shape"] = std::vector<std::int64_t>{shape.heads, shape.kv_heads, shape.head_dim};
    ctx->saved_data["begin"] = shape.begin;
    note_saved("attention", {q, k, v});
    return attend(q, k, v, shape);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<std::int64_t> sizes = ctx->saved_data["shape"].toIntVector();
    const AttentionShape shape{sizes[0], sizes[1], sizes[2], ctx->saved_data["begin"].toIntVector()};
    const at::Tensor q = matrix_of(saved[0], "q"), k = matrix_of(saved[1], "k"), v = matrix_of(saved[2], "v");
    const at::Tensor dy = matrix_of(grads[0], "gradient");
    const Gradients all{at::zeros_like(q), at::zeros_like(k), at::zeros_like(v)};
    for (std::size_t s = 0; s + 1 < shape.begin.size(); ++s) {
      const std::int64_t first = shape.begin[s], count = shape.begin[s + 1] - first;
      if (count == 0) continue;
      const auto part = [&](const at::Tensor& rows) { return rows.narrow(0, first, count); };
      const Gradients one = attend_backward(part(q), part(k), part(v), part(dy), shape);
      part(all.dq).copy_(one.dq);
      part(all.dk).copy_(one.dk);
      part(all.dv).copy_(one.dv);
    }
    return {all.dq, all.dk, all.dv, at::Tensor()};
  }
};

void check_shape(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionShape& shape) {
  A48_ASSERT(q.dim() == 2 && k.dim() == 2 && v.dim() == 2);
  A48_ASSERT(shape.heads % shape.kv_heads == 0, shape.heads, shape.kv_heads);
  A48_ASSERT(q.size(1) == shape.heads * shape.head_dim && k.size(1) == shape.kv_heads * shape.head_dim &&
             v.sizes() == k.sizes());
  A48_ASSERT(!shape.begin.empty() && shape.begin.back() == q.size(0) && k.size(0) == q.size(0));
}

/// Where the rows of sequences of different lengths stand in a [sequences, longest] grid, sequences aligned
/// left; undefined when all have the same length.
at::Tensor grid_places(const AttentionShape& shape, std::int64_t longest) {
  const std::int64_t sequences = static_cast<std::int64_t>(shape.begin.size()) - 1, rows = shape.begin.back();
  if (rows == sequences * longest) return {};
  at::Tensor places = at::empty({rows}, at::kLong);
  std::int64_t* place = places.data_ptr<std::int64_t>();
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int64_t first = shape.begin[static_cast<std::size_t>(s)],
                       end = shape.begin[static_cast<std::size_t>(s) + 1];
    for (std::int64_t row = first; row < end; ++row) place[row] = s * longest + row - first;
  }
  return places;
}

}  // namespace

at::Tensor exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionShape& shape) {
  check_shape(q, k, v, shape);
  A48_CHECK(!on_device(q), ErrorKind::config,
            "attention in the exact order of the CPU does not exist on a GPU");
  return wants_grad({q, k, v}) ? ExactAttention::apply(q, k, v, shape)
                               : attend(q.detach(), k.detach(), v.detach(), shape);
}

at::Tensor sdpa_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const AttentionShape& shape) {
  check_shape(q, k, v, shape);
  const std::int64_t sequences = static_cast<std::int64_t>(shape.begin.size()) - 1;
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < shape.begin.size(); ++s)
    longest = std::max(longest, shape.begin[s + 1] - shape.begin[s]);
  // Shorter sequences are filled up on the right: under the causal mask no real token sees the filling.
  at::Tensor places = grid_places(shape, longest);
  if (places.defined()) places = places.to(q.device());
  const auto heads_of = [&](const at::Tensor& rows, std::int64_t heads) {
    const at::Tensor grid =
        places.defined()
            ? at::zeros({sequences * longest, rows.size(1)}, rows.options()).index_copy(0, places, rows)
            : rows;
    return grid.reshape({sequences, longest, heads, shape.head_dim}).transpose(1, 2);
  };
  const auto for_every_query_head = [&](const at::Tensor& x) {  // [B, KV, T, hd] -> [B, H, T, hd]
    return shape.heads == shape.kv_heads
               ? x
               : x.unsqueeze(2)
                     .expand(
                         {sequences, shape.kv_heads, shape.heads / shape.kv_heads, longest, shape.head_dim})
                     .reshape({sequences, shape.heads, longest, shape.head_dim});
  };
  const at::Tensor queries = heads_of(q, shape.heads);
  const at::Tensor keys = for_every_query_head(heads_of(k, shape.kv_heads));
  const at::Tensor values = for_every_query_head(heads_of(v, shape.kv_heads));
  const at::Tensor y = at::scaled_dot_product_attention(queries, keys, values, {}, 0.0, /*is_causal=*/true,
                                                        static_cast<double>(score_scale(shape.head_dim)));
  if (wants_grad({q, k, v})) note_saved("attention", {queries, keys, values, y});
  const at::Tensor rows = y.transpose(1, 2).reshape({sequences * longest, q.size(1)});
  return places.defined() ? rows.index_select(0, places) : rows;
}

at::Tensor attention_of_last(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim) {
  const std::int64_t rows = q.size(0), length = k.size(0);
  const auto heads_of = [&](const at::Tensor& x, std::int64_t count) {  // -> [1, H, ., hd]
    const at::Tensor split = x.reshape({x.size(0), count, head_dim}).transpose(0, 1);
    return (count == heads ? split : split.repeat_interleave(heads / count, 0)).unsqueeze(0);
  };
  std::optional<at::Tensor> visible;
  const bool whole = rows == length;
  if (!whole && rows > 1) {
    const at::TensorOptions places = at::TensorOptions(q.device()).dtype(at::kLong);
    visible =
        at::arange(length, places).unsqueeze(0) <= at::arange(length - rows, length, places).unsqueeze(1);
  }
  const at::Tensor y = at::scaled_dot_product_attention(
      heads_of(q, heads), heads_of(k, kv_heads), heads_of(v, kv_heads), visible, 0.0, /*is_causal=*/whole,
      static_cast<double>(score_scale(head_dim)));
  return y.squeeze(0).transpose(0, 1).reshape({rows, q.size(1)});
}

}  // namespace a48::ops
