// q, k, v from one input; rotated; attention by cache, exact or fused; sub-norm; o_proj. Next:
// bit_linear.cpp.
#include "modules/attention.h"

#include "core/base/check.h"
#include "core/ops/attention.h"
#include "modules/key_value_cache.h"
#include "modules/token_rows.h"

namespace a48::nn {

ops::RopeTables rope_tables_on(torch::Device device, const config::Model& model) {
  const ops::RopeTables tables =
      ops::rope_tables(model.max_position_embeddings, model.head_dim(), model.rope_theta);
  return {tables.cos.to(device), tables.sin.to(device)};
}

BitNetAttentionImpl::BitNetAttentionImpl(const config::Model& model, const LayerPlace& place)
    : layer_(place.index),
      heads_(model.num_attention_heads),
      kv_heads_(model.kv_heads()),
      head_dim_(model.head_dim()),
      rope_(place.rope) {
  const std::int64_t width = model.hidden_size, kv_width = kv_heads_ * head_dim_;
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
    BitLinear layer = register_module(name, BitLinear(in, out, place.device));
    layer->name = concat(place.path, ".self_attn.", name);
    return layer;
  };
  q_proj = linear("q_proj", width, width);
  k_proj = linear("k_proj", width, kv_width);
  v_proj = linear("v_proj", width, kv_width);
  if (model.sub_norm)
    attn_sub_norm = register_module("attn_sub_norm", RMSNorm(width, model.rms_norm_eps, place.device));
  o_proj = linear("o_proj", width, width);
  if (!rope_.cos.defined() && !place.device.is_meta()) {
    rope_ = rope_tables_on(place.device, model);
  }
}

at::Tensor BitNetAttentionImpl::forward_rows(const at::Tensor& x, const Pass& pass, RMSNorm norm) {
  runtime::SparsityCounts* counts = pass.counts;
  const std::vector<at::Tensor> qkv =
      shared_input(x, {q_proj, k_proj, v_proj}, counts ? &counts->qkv : nullptr, std::move(norm));
  const at::Tensor q = ops::rope(qkv[0], pass.position, heads_, rope_);     // [R, H·hd]
  const at::Tensor k = ops::rope(qkv[1], pass.position, kv_heads_, rope_);  // [R, KV·hd]
  const at::Tensor v = qkv[2].contiguous();  // on a GPU a part of q, k, v, which backward would keep whole

  const ops::AttentionShape shape{heads_, kv_heads_, head_dim_, pass.begin};
  const at::Tensor o = pass.cache != nullptr ? pass.cache->attend(layer_, q, k, v)
                       : pass.exact          ? ops::exact_attention(q, k, v, shape)
                                             : ops::sdpa_attention(q, k, v, shape);
  return shared_input(o, {o_proj}, counts ? &counts->out : nullptr, attn_sub_norm).front();
}

at::Tensor BitNetAttentionImpl::forward(const at::Tensor& x, const at::Tensor& mask) {
  const TokenRows rows = token_rows(x.size(0), x.size(1), mask);
  const Pass pass = pass_beside(x, rows, !at::GradMode::is_enabled() || !is_training());
  return spread_rows(forward_rows(gather_rows(x, rows), pass), rows);
}

void BitNetAttentionImpl::set_slots(const quant::Slots& slots) {
  for (BitLinear layer : {q_proj, k_proj, v_proj}) layer->set_slot({slots.qkv, 1.0, slots.ternary_weights});
  o_proj->set_slot({slots.o, slots.topk_keep_o, slots.ternary_weights});
}

}  // namespace a48::nn
