// A block's algebra: two normed branches on the residual stream. Next: attention.cpp and feed_forward.cpp,
// whose products are in bit_linear.cpp.
#include "modules/block.h"

#include "modules/token_rows.h"

namespace a48::nn {

BitNetBlockImpl::BitNetBlockImpl(const config::Model& model, const LayerPlace& place) {
  const auto norm = [&] { return RMSNorm(model.hidden_size, model.rms_norm_eps, place.device); };
  input_layernorm = register_module("input_layernorm", norm());
  self_attn = register_module("self_attn", BitNetAttention(model, place));
  post_attention_layernorm = register_module("post_attention_layernorm", norm());
  mlp = register_module("mlp", BitNetMLP(model, place));
}

at::Tensor BitNetBlockImpl::forward_rows(const at::Tensor& x, const Pass& pass) {
  const at::Tensor h = x + self_attn->forward_rows(x, pass, input_layernorm);
  return h + mlp->forward_rows(h, pass, post_attention_layernorm);
}

at::Tensor BitNetBlockImpl::forward(const at::Tensor& x, const at::Tensor& mask) {
  const TokenRows rows = token_rows(x.size(0), x.size(1), mask);
  const Pass pass = pass_beside(x, rows, !at::GradMode::is_enabled() || !is_training());
  return spread_rows(forward_rows(gather_rows(x, rows), pass), rows);
}

void BitNetBlockImpl::set_slots(const quant::Slots& slots) {
  self_attn->set_slots(slots);
  mlp->set_slots(slots);
}

}  // namespace a48::nn
