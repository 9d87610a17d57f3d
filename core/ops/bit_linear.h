// BitLinear: quantize the input once, multiply its integer codes with the ternary codes of one or several
// matrices, scale. Straight-through backward (numerics.md 2.3, 4). Called by modules/bit_linear.cpp; next:
// core/kernels/api.h (quantize_rows, gemm_ternary).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/kernels/api.h"
#include "core/ops/backward_product.h"
#include "core/ops/ternary_weight.h"
#include "core/quant/scheme.h"

namespace a48::ops {

/// One matrix of a product: the master receives the gradient, the codes do the work.
struct LinearWeight {
  at::Tensor master;  // fp32 [N, K]
  TernaryWeight ternary;
  std::string name;  // "model.layers.0.self_attn.q_proj"
};

/// How the shared input is quantized.
struct LinearInput {
  quant::Scheme scheme = quant::Scheme::int8;
  double keep = 1.0;                   // kept share of TopK; 1 = all
  std::int64_t* zero_codes = nullptr;  // receives += zeros among the input codes; nullptr = not counted
  BackwardDtype backward = BackwardDtype::fp32;
  /// [K]: the input is RMSNorm(x; gain, eps), on a device without a copy of it; undefined: x.
  at::Tensor gain = {};
  double eps = 0.0;
  /// Of two matrices, gate and up: the result is glu(y_0, y_1) alone. On a device y_0 and y_1 are not saved
  /// but made again in backward from the saved codes, with the same bits.
  std::optional<kernels::GluKind> glu = {};
};

/// x [..., K] -> y_i [..., N_i] = float(Q·T_iᵀ)·(d·α_i), Q and d of the quantized input.
/// Saved: Q as int8, or as two codes a byte for 4-bit schemes; d; the cache's T_i; α_i. No float copy of x.
/// Backward: dX = Σ_i α_i·(dY_i·T_i) in the order of the matrices, dW_i = (d ⊙ dY_i)ᵀ·Q; products in
/// input.backward, where T and Q are exact and dY_i and d ⊙ dY_i are rounded, α and sums over i in fp32.
/// A non-finite row gives codes 0 and is reported to status.h.
std::vector<at::Tensor> bit_linear(const at::Tensor& x, std::span<const LinearWeight> weights,
                                   const LinearInput& input);

/// The same with the float input as it is (mode a16): y_i = x·(α_i·T_i)ᵀ, dW_i = dY_iᵀ·x, dX = Σ_i
/// dY_i·(α_i·T_i). Always in fp32: bf16 would round x, too.
std::vector<at::Tensor> ternary_linear(const at::Tensor& x, std::span<const LinearWeight> weights);

}  // namespace a48::ops
