// BitLinear on a device: the same integer products and rules as bit_linear.h, in the kernels of
// core/kernels/cuda and LibTorch's products. Nothing here waits for the device: α and the flags of non-finite
// values stay on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "core/ops/bit_linear.h"
#include "core/ops/fake_quant.h"
#include "core/ops/ternary_weight.h"

namespace a48::ops {

/// Results have x's type, fp32 or bf16, rounded once, and are parts of one product: rows with a stride. Saved
/// for backward: with a gain, x and r; codes as int8, or two a byte for 4-bit schemes; d; the cache's codes
/// and α. dX and dW are one product each, summed in fp32; operands are in input.backward, dY_i after one fp32
/// product with α_i or d.
std::vector<at::Tensor> device_bit_linear(const at::Tensor& x, std::span<const LinearWeight> weights,
                                          const LinearInput& input);
std::vector<at::Tensor> device_ternary_linear(const at::Tensor& x, std::span<const LinearWeight> weights);

std::vector<TernaryWeight> device_ternarize(std::span<const at::Tensor> masters);
Codes device_encode(const at::Tensor& x, quant::Scheme scheme);
/// 0/1 bytes [R, K] of the survivors.
at::Tensor device_topk_mask(const at::Tensor& x, std::int64_t keep);

}  // namespace a48::ops
