// The matrix products of backward, in the dtype that run.backward_dtype names (numerics.md 4.2, kernels.md
// 5.10): fp32, or bf16 on CPUs that multiply it natively.
#pragma once

#include <ATen/core/Tensor.h>

namespace a48::ops {

enum class BackwardDtype { fp32, bf16 };

/// c = accumulate ? c + scale·(a·b) : scale·(a·b), c fp32. In bf16 each operand is rounded once (integer
/// codes are exact, an operand that is bf16 already stays), products are summed in fp32, and LibTorch rounds
/// the sum to bf16 once; scale and accumulation are fp32. LibTorch has no faster product with an fp32 result:
/// mm with a result dtype does not exist for CPU, MKL's runs at the speed of fp32.
void add_product(at::Tensor& c, const at::Tensor& a, const at::Tensor& b, double scale, bool accumulate,
                 BackwardDtype dtype);

/// The operand as a product in `dtype` takes it; for matrices that several products share.
at::Tensor operand_of(const at::Tensor& matrix, BackwardDtype dtype);

}  // namespace a48::ops
