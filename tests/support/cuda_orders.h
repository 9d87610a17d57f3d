// The ways in which a test of CUDA code is run. Defined by the binary that it is built into: once on a GPU
// (tests/core/kernels/cuda/on_gpu.cpp), or in three orders of threads without one
// (tests/cuda_on_host/orders.cpp).
#pragma once

#include <functional>

namespace a48::test {

/// Calls body() once on a GPU, or once per order of threads without one; skips the test case where there is
/// neither.
void on_every_order(const std::function<void()>& body);

}  // namespace a48::test
