// One block of the network: pre-norm attention and feed-forward, each added to the residual stream
// (numerics.md 3). Next: attention.h, feed_forward.h.
#pragma once

#include "modules/attention.h"
#include "modules/feed_forward.h"
#include "modules/norm.h"

namespace a48::nn {

class BitNetBlockImpl : public torch::nn::Module {
 public:
  explicit BitNetBlockImpl(const config::Model& model, const LayerPlace& place = {});

  /// Rows [R, D] -> [R, D].
  at::Tensor forward_rows(const at::Tensor& x, const Pass& pass);
  /// [B, T, D], mask [B, T] or undefined -> [B, T, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask = {});
  void set_slots(const quant::Slots& slots);

  RMSNorm input_layernorm{nullptr}, post_attention_layernorm{nullptr};
  BitNetAttention self_attn{nullptr};
  BitNetMLP mlp{nullptr};
};
TORCH_MODULE(BitNetBlock);

}  // namespace a48::nn
