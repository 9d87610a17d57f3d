// The GPU through LibTorch: current stream, memory, switches of its libraries. The only file that sees
// LibTorch's CUDA headers. Kernels: core/kernels/cuda/table_cuda.h.
#include <ATen/Context.h>
#include <ATen/ops/mm.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <cstdlib>

#include "core/base/check.h"
#include "core/kernels/cuda/memory.h"
#include "core/ops/device.h"
#include "core/ops/gpu.h"

namespace a48::ops {
namespace {

using c10::cuda::CUDACachingAllocator::getDeviceStats;

constexpr std::size_t kAllPools = 0;  // index of the aggregate in the allocator's counts

kernels::cuda::Stream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

bool is_on_gpu(const at::Tensor& tensor) { return tensor.is_cuda(); }

at::Tensor product_in_float(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat ? at::mm(a, b) : at::mm(a, b, at::kFloat);
}

}  // namespace

int gpu_count() { return c10::cuda::device_count(); }

std::string no_gpu_reason() { return kernels::cuda::no_device_reason(); }

void use_gpu() {
  const std::string reason = no_gpu_reason();
  A48_CHECK(reason.empty(), ErrorKind::no_resources, reason);
  // A sum in bf16 of parts of a product would break exactness on codes (numerics.md 4.1).
  at::globalContext().setAllowBF16ReductionCuBLAS(false, false);
  static const DeviceAccess access{&kernels::cuda::table_cuda(), is_on_gpu, current_stream, product_in_float,
                                   gpu_seconds};
  set_device_access(&access);
}

std::string gpu_name() { return kernels::cuda::device_name(); }

GpuMemory gpu_memory() {
  GpuMemory memory;
  std::size_t free = 0, total = 0;
  const cudaError_t error = cudaMemGetInfo(&free, &total);
  A48_CHECK(error == cudaSuccess, ErrorKind::no_resources,
            "the GPU's memory cannot be asked for: ", cudaGetErrorString(error));
  memory.total = static_cast<std::int64_t>(total);
  memory.free = static_cast<std::int64_t>(free);
  const auto stats = getDeviceStats(c10::cuda::current_device());
  memory.used = stats.allocated_bytes[kAllPools].current;
  memory.most_used = stats.allocated_bytes[kAllPools].peak;
  memory.free += stats.reserved_bytes[kAllPools].current - memory.used;
  return memory;
}

void reset_most_used() { c10::cuda::CUDACachingAllocator::resetPeakStats(c10::cuda::current_device()); }

void finish_gpu() {
  if (gpu_count() > 0 && c10::cuda::hasPrimaryContext(0)) c10::cuda::device_synchronize();
}

double gpu_seconds(FunctionRef<void()> work) {
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  cudaEvent_t begin = nullptr, end = nullptr;
  float milliseconds = 0.0f;
  const auto check = [](cudaError_t error) {
    A48_CHECK(error == cudaSuccess, ErrorKind::internal, "timing on the GPU: ", cudaGetErrorString(error));
  };
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  check(cudaEventRecord(begin, stream));
  work();
  check(cudaEventRecord(end, stream));
  check(cudaEventSynchronize(end));
  check(cudaEventElapsedTime(&milliseconds, begin, end));
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return 1e-3 * static_cast<double>(milliseconds);
}

void set_deterministic(bool on) {
  if (on) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  at::globalContext().setDeterministicAlgorithms(on, false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // it would fill every fresh tensor
}

}  // namespace a48::ops
