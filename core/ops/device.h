// Where an operation runs. Each operation of this folder asks on_device() where its work begins: tensors on
// the CPU go to core/kernels/api.h, tensors on a GPU to the CUDA kernels (device_linear.h, device_rows.h).
// How a GPU's stream and memory are reached stands apart, because builds without CUDA have none: gpu.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "core/base/function_ref.h"
#include "core/kernels/cuda/table_cuda.h"

namespace a48::ops {

/// What multiplies codes: LibTorch's int8 product followed by our scale pass, or our kernel, which scales as
/// it stores. The same bits (device_product.h).
enum class CodeProduct { int_mm, own_kernel };

/// A device as the operations see it. A GPU's is made by use_gpu(); tests have one that runs the kernels'
/// sources on the CPU, on CPU tensors.
struct DeviceAccess {
  const kernels::cuda::CudaTable* kernels = nullptr;
  bool (*owns)(const at::Tensor& tensor) = nullptr;
  kernels::cuda::Stream (*stream)() = nullptr;  // on which the calling thread's work goes
  /// a·b with an fp32 result: operands of one type, bf16 or fp32, products and sums in fp32.
  at::Tensor (*product)(const at::Tensor& a, const at::Tensor& b) = nullptr;
  /// Seconds from before `work` to its end on the stream; nullptr: nothing is measured, int_mm is taken.
  double (*seconds)(FunctionRef<void()> work) = nullptr;
  std::optional<CodeProduct> code_product = {};  // unset: the faster one
};

/// Before any work on the device; nullptr: there is none. The access is not copied.
void set_device_access(const DeviceAccess* access);

/// False: on the CPU. Error(no_resources) for a tensor on a GPU without an access to it.
bool on_device(const at::Tensor& x);
/// Of the tensors that on_device() is true for.
const DeviceAccess& device();

}  // namespace a48::ops
