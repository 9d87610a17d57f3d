// The quantizers as modules of their own, under the seed's names (numerics.md 7): fake-quant output with the
// straight-through gradient, and the codes with their step. The network does not use them: its products run
// on codes. Next: core/ops/fake_quant.h.
#pragma once

#include <utility>

#include "core/ops/fake_quant.h"
#include "core/ops/topk.h"
#include "core/quant/scheme.h"

namespace a48::nn {

template <quant::Scheme scheme>
class QuantizerImpl : public torch::nn::Module {
 public:
  /// x [..., K] -> codes · step, rows along the last dimension.
  at::Tensor forward(const at::Tensor& x) { return ops::fake_quant(x, scheme); }
  ops::Codes codes(const at::Tensor& x) { return ops::encode(x, scheme); }
};

using Int4QuantizerImpl = QuantizerImpl<quant::Scheme::int4>;
using Int8QuantizerImpl = QuantizerImpl<quant::Scheme::int8>;
using Fp4QuantizerImpl = QuantizerImpl<quant::Scheme::fp4>;
using TernaryQuantizerImpl = QuantizerImpl<quant::Scheme::ternary>;
TORCH_MODULE(Int4Quantizer);
TORCH_MODULE(Int8Quantizer);
TORCH_MODULE(Fp4Quantizer);
TORCH_MODULE(TernaryQuantizer);  // of a weight matrix: one step for all of it

class TopKSparsifierImpl : public torch::nn::Module {
 public:
  /// k: kept share of each row, in (0, 1].
  explicit TopKSparsifierImpl(double k = 0.5) : k_(k) {}
  /// (x ⊙ mask, mask).
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x) { return ops::topk(x, k_); }

 private:
  double k_;
};
TORCH_MODULE(TopKSparsifier);

}  // namespace a48::nn
