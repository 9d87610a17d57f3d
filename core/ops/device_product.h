// Codes times ternary codes on a device. Matrices on one input are one product: their codes lie one after
// another (ternarize in ternary_weight.h), each row range has its own α. Two ways give the same bits; which
// one is faster is measured when a shape is first seen. Next: core/kernels/cuda/gemm_ternary.cu.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/ops/bit_linear.h"
#include "core/ops/device.h"

namespace a48::ops {

/// LibTorch's int8 product on CUDA gives a multiple of these; what it reads behind the last matrix is 0.
inline constexpr std::int64_t kOutputMultiple = 8;

/// Matrices that lie one after another.
struct DeviceWeights {
  at::Tensor padded;                  // of the first (TernaryWeight)
  std::vector<at::Tensor> alphas;     // fp32 [1]
  std::vector<std::int64_t> outputs;  // N_i
  std::int64_t inputs = 0;            // K

  std::int64_t all_outputs() const;
  /// Part i of x along `dim`, which has a place for every output.
  at::Tensor part(const at::Tensor& x, std::int64_t dim, std::size_t i) const;
};
DeviceWeights device_weights(std::span<const LinearWeight> weights);

/// float(Q·Tᵀ)·(d·α) as [R, Σ N_i] of `type`, for codes int8 [R, code_row_bytes(K)] and d [R, 1].
at::Tensor code_product(const at::Tensor& codes, const at::Tensor& step, const DeviceWeights& weights,
                        at::ScalarType type);

/// What was measured, for rows up to a power of two.
struct MeasuredProduct {
  std::int64_t rows = 0, inputs = 0, outputs = 0;
  at::ScalarType type = at::kFloat;
  double int_mm = 0.0, own_kernel = 0.0;  // seconds

  CodeProduct faster() const { return own_kernel < int_mm ? CodeProduct::own_kernel : CodeProduct::int_mm; }
};
/// Of this process and its device.
std::vector<MeasuredProduct> measured_products();
void forget_measured_products();

}  // namespace a48::ops
