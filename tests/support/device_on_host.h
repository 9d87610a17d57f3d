// A "device" for tests of core/ops and above: CPU tensors, worked on by the CUDA kernels' own sources as
// tests/cuda_on_host runs them. Torch comes through the precompiled header.
#pragma once

#include "core/ops/device.h"

namespace a48::test {

namespace detail {
inline bool owns_all(const at::Tensor&) { return true; }
inline kernels::cuda::Stream no_stream() { return nullptr; }
/// LibTorch's CPU product has no fp32 result of bf16 operands; widened ones give the same sums.
inline at::Tensor product_in_float(const at::Tensor& a, const at::Tensor& b) {
  return at::mm(a.to(at::kFloat), b.to(at::kFloat));
}
}  // namespace detail

/// While it lives, every tensor counts as one on the device.
class DeviceOnHost {
 public:
  explicit DeviceOnHost(ops::CodeProduct code_product = ops::CodeProduct::int_mm)
      : access_{&kernels::cuda::table_cuda(), detail::owns_all, detail::no_stream, detail::product_in_float,
                code_product} {
    ops::set_device_access(&access_);
  }
  ~DeviceOnHost() { ops::set_device_access(nullptr); }
  DeviceOnHost(const DeviceOnHost&) = delete;
  DeviceOnHost& operator=(const DeviceOnHost&) = delete;

 private:
  ops::DeviceAccess access_;
};

}  // namespace a48::test
