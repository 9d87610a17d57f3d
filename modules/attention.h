// Causal self-attention of a block: one quantized input for q, k, v; rotary positions; sub-norm; o_proj.
// Next: bit_linear.h, core/ops/attention.h.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/types.h"
#include "core/ops/rope.h"
#include "modules/bit_linear.h"
#include "modules/norm.h"
#include "modules/pass.h"

namespace a48::nn {

/// Where a layer stands in its model.
struct LayerPlace {
  std::int64_t index = 0;      // of the block
  std::string path = "layer";  // "model.layers.3"
  torch::Device device = torch::kCPU;
  ops::RopeTables rope = {};  // shared by all layers; built by the layer when undefined
};

ops::RopeTables rope_tables_on(torch::Device device, const config::Model& model);

class BitNetAttentionImpl : public torch::nn::Module {
 public:
  explicit BitNetAttentionImpl(const config::Model& model, const LayerPlace& place = {});

  /// Rows [R, D], normed first where a norm is given -> [R, D].
  at::Tensor forward_rows(const at::Tensor& x, const Pass& pass, RMSNorm norm = nullptr);
  /// [B, T, D], mask [B, T] or undefined -> [B, T, D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask = {});
  void set_slots(const quant::Slots& slots);

  BitLinear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, o_proj{nullptr};
  RMSNorm attn_sub_norm{nullptr};  // empty without model.sub_norm

 private:
  std::int64_t layer_, heads_, kv_heads_, head_dim_;
  ops::RopeTables rope_;
};
TORCH_MODULE(BitNetAttention);

}  // namespace a48::nn
