// BitLinear: an fp32 master weight, the quantizer of its input, and ternary codes that are made once per
// optimizer step. Which product runs follows from the slot. Next: core/ops/bit_linear.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/kernels/api.h"
#include "core/ops/backward_product.h"
#include "core/ops/ternary_weight.h"
#include "core/quant/scheme.h"
#include "core/runtime/sparsity.h"
#include "modules/norm.h"

namespace a48::nn {

/// How a linear layer sees its input and its weight; a mode is a preset of these (numerics.md 1).
struct LinearSlot {
  quant::Scheme input = quant::Scheme::int8;
  double keep = 1.0;  // kept share of TopK before the quantizer; 1 = off
  bool ternary_weight = true;
};

class BitLinearImpl : public torch::nn::Module {
 public:
  BitLinearImpl(std::int64_t in_features, std::int64_t out_features, torch::Device device = torch::kCPU);

  /// x [..., in] -> [..., out].
  at::Tensor forward(const at::Tensor& x);

  void set_slot(const LinearSlot& slot) { slot_ = slot; }
  const LinearSlot& slot() const { return slot_; }
  /// Of the backward products on integer codes; slots with a float input keep fp32.
  void set_backward(ops::BackwardDtype dtype) { backward_ = dtype; }
  ops::BackwardDtype backward() const { return backward_; }
  /// Compute with eager_fake_quant.h instead: what `bench train` compares with.
  void set_eager(bool eager) { eager_ = eager; }
  bool eager() const { return eager_; }

  /// Codes of the present master; made anew after weights_changed() and after a write that autograd's version
  /// counter saw.
  const ops::TernaryWeight& ternary();
  bool has_codes() const;  // of the present master
  void set_codes(ops::TernaryWeight codes);
  /// The master was written through a pointer or a view: the codes are stale.
  void weights_changed() { cache_ = {}; }

  at::Tensor weight;               // master, fp32 [out, in]
  std::string name = "BitLinear";  // in errors and telemetry: "model.layers.3.self_attn.o_proj"

 private:
  std::int64_t version() const;  // of the master, as autograd counts its writes

  LinearSlot slot_;
  ops::BackwardDtype backward_ = ops::BackwardDtype::fp32;
  bool eager_ = false;
  ops::TernaryWeight cache_;
  std::int64_t cached_version_ = -1;
};
TORCH_MODULE(BitLinear);

/// Several layers on one input, which is quantized once (q, k, v; gate, up). The slot is the first layer's.
/// `zeros` counts zero input codes where the input is quantized. With a norm, the input is norm(x): the same
/// as calling it before, and on a GPU one kernel norms and quantizes.
std::vector<at::Tensor> shared_input(const at::Tensor& x, std::initializer_list<BitLinear> layers,
                                     runtime::ZeroCount* zeros = nullptr, RMSNorm norm = nullptr);

/// glu(gate(x), up(x)) of layers on one input, as shared_input; on a GPU gate and up are not kept for
/// backward but made again where both are quantized.
at::Tensor recomputed_glu(const at::Tensor& x, BitLinear gate, BitLinear up, kernels::GluKind kind,
                          RMSNorm norm = nullptr);

}  // namespace a48::nn
