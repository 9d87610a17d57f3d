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

/// Kernels started since the last DeviceOnHost was made; `scale` follows LibTorch's int8 product.
struct Launches {
  int quantize = 0, ternarize = 0, gemm = 0, scale = 0;
};
inline Launches launches;

namespace detail {
template <auto kEntry, auto kCount, typename Args>
void counted(const Args& args, kernels::cuda::Stream stream) {
  ++(launches.*kCount);
  (kernels::cuda::table_cuda().*kEntry)(args, stream);
}
/// The kernels, counted.
inline const kernels::cuda::CudaTable& counting_kernels() {
  using namespace kernels::cuda;
  static const CudaTable table = [] {
    CudaTable table = table_cuda();
    table.quantize_rows = counted<&CudaTable::quantize_rows, &Launches::quantize, QuantizeArgs>;
    table.ternarize_weight = counted<&CudaTable::ternarize_weight, &Launches::ternarize, TernarizeArgs>;
    table.gemm_ternary = counted<&CudaTable::gemm_ternary, &Launches::gemm, GemmArgs>;
    table.scale_rows = counted<&CudaTable::scale_rows, &Launches::scale, ScaleArgs>;
    return table;
  }();
  return table;
}
}  // namespace detail

/// While it lives, every tensor counts as one on the device.
class DeviceOnHost {
 public:
  explicit DeviceOnHost(ops::CodeProduct product = ops::CodeProduct::int_mm) {
    access_.code_product = product;
    begin();
  }
  /// The product that `seconds` says is faster.
  explicit DeviceOnHost(double (*seconds)(FunctionRef<void()> work)) {
    access_.seconds = seconds;
    begin();
  }
  ~DeviceOnHost() { ops::set_device_access(nullptr); }
  DeviceOnHost(const DeviceOnHost&) = delete;
  DeviceOnHost& operator=(const DeviceOnHost&) = delete;

 private:
  void begin() {
    launches = {};
    ops::set_device_access(&access_);
  }

  ops::DeviceAccess access_{&detail::counting_kernels(), detail::owns_all, detail::no_stream,
                            detail::product_in_float};
};

}  // namespace a48::test
