// gate and up from one input, gated unit, sub-norm, down_proj. Next: bit_linear.cpp.
#include "modules/feed_forward.h"

#include "core/base/check.h"
#include "core/ops/glu.h"

namespace a48::nn {
namespace {

/// Values of the gate's activation that are zero: ReLU²(z) = 0 for z <= 0, silu(z) = 0 for z = 0.
void count_closed_gates(const at::Tensor& gate, kernels::GluKind kind, runtime::ZeroCount& count) {
  const at::Tensor open = kind == kernels::GluKind::relu2 ? gate.clamp_min(0).square() : gate;
  count.add(gate.numel() - open.count_nonzero().item<std::int64_t>(), gate.numel());
}

}  // namespace

BitNetMLPImpl::BitNetMLPImpl(const config::Model& model, const LayerPlace& place)
    : kind_(model.hidden_act == config::Activation::relu2 ? kernels::GluKind::relu2
                                                          : kernels::GluKind::silu) {
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
    BitLinear layer = register_module(name, BitLinear(in, out, place.device));
    layer->name = concat(place.path, ".mlp.", name);
    return layer;
  };
  gate_proj = linear("gate_proj", model.hidden_size, model.intermediate_size);
  up_proj = linear("up_proj", model.hidden_size, model.intermediate_size);
  if (model.sub_norm) {
    ffn_sub_norm =
        register_module("ffn_sub_norm", RMSNorm(model.intermediate_size, model.rms_norm_eps, place.device));
  }
  down_proj = linear("down_proj", model.intermediate_size, model.hidden_size);
}

at::Tensor BitNetMLPImpl::gated(const at::Tensor& x, runtime::SparsityCounts* counts, RMSNorm norm) {
  if (recompute_ && counts == nullptr) return recomputed_glu(x, gate_proj, up_proj, kind_, std::move(norm));
  const std::vector<at::Tensor> gate_up =
      shared_input(x, {gate_proj, up_proj}, counts ? &counts->gate : nullptr, std::move(norm));
  if (counts != nullptr) count_closed_gates(gate_up[0], kind_, counts->gate_output);
  return ops::glu(gate_up[0], gate_up[1], kind_);
}

at::Tensor BitNetMLPImpl::forward_rows(const at::Tensor& x, const Pass& pass, RMSNorm norm) {
  runtime::SparsityCounts* counts = pass.counts;
  const at::Tensor f = gated(x, counts, std::move(norm));  // [..., F]
  return shared_input(f, {down_proj}, counts ? &counts->down : nullptr, ffn_sub_norm).front();
}

void BitNetMLPImpl::set_slots(const quant::Slots& slots) {
  gate_proj->set_slot({slots.gate_up, 1.0, slots.ternary_weights});
  up_proj->set_slot({slots.gate_up, 1.0, slots.ternary_weights});
  down_proj->set_slot({slots.down, 1.0, slots.ternary_weights});
}

}  // namespace a48::nn
