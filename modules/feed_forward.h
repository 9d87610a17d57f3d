// The gated feed-forward part of a block: one quantized input for gate and up, ReLU²GLU (or SwiGLU),
// sub-norm, down_proj. Next: bit_linear.h, core/ops/glu.h.
#pragma once

#include "core/config/types.h"
#include "core/kernels/api.h"
#include "modules/attention.h"
#include "modules/pass.h"

namespace a48::nn {

class BitNetMLPImpl : public torch::nn::Module {
 public:
  explicit BitNetMLPImpl(const config::Model& model, const LayerPlace& place = {});

  /// x [..., D] -> [..., D].
  at::Tensor forward(const at::Tensor& x) { return forward_rows(x, {}); }
  /// The same on rows [R, D], normed first where a norm is given.
  at::Tensor forward_rows(const at::Tensor& x, const Pass& pass, RMSNorm norm = nullptr);
  void set_slots(const quant::Slots& slots);
  /// On a GPU: gate and up are made again in backward (run.recompute_glu).
  void set_recompute(bool recompute) { recompute_ = recompute; }

  BitLinear gate_proj{nullptr}, up_proj{nullptr}, down_proj{nullptr};
  RMSNorm ffn_sub_norm{nullptr};  // empty without model.sub_norm

 private:
  at::Tensor gated(const at::Tensor& x, runtime::SparsityCounts* counts, RMSNorm norm);

  kernels::GluKind kind_;
  bool recompute_ = false;
};
TORCH_MODULE(BitNetMLP);

}  // namespace a48::nn
