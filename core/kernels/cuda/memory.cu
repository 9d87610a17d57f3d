// Device memory, copies and waiting: thin over the runtime.
#include "core/kernels/cuda/memory.h"

#include "core/kernels/cuda/launch.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kLeastMajor = 8;  // mma and cp.async of intrinsics.cuh

cudaDeviceProp properties() {
  cudaDeviceProp found{};
  check_cuda(cudaGetDeviceProperties(&found, 0), ErrorKind::no_resources, "the GPU does not answer");
  return found;
}

}  // namespace

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string no_device_reason() {
  if (device_count() == 0) return "this machine shows no GPU (no driver, or CUDA_VISIBLE_DEVICES hides it)";
  const cudaDeviceProp gpu = properties();
  if (gpu.major >= kLeastMajor) return "";
  return concat(gpu.name, " has compute capability ", gpu.major, '.', gpu.minor,
                "; the kernels need 8.0 or later");
}

std::string device_name() { return properties().name; }

std::int64_t free_device_memory() {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), ErrorKind::no_resources, "how much memory is free");
  return static_cast<std::int64_t>(free);
}

void* device_allocate(std::int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<std::size_t>(bytes));
  A48_CHECK(error == cudaSuccess, ErrorKind::no_resources, "no device memory for ", bytes,
            " bytes: ", cudaGetErrorString(error),
            ". Use a smaller batch or model, or a device with more memory.");
  return memory;
}

void device_free(void* memory) { static_cast<void>(cudaFree(memory)); }

void* host_allocate(std::int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMallocHost(&memory, static_cast<std::size_t>(bytes));
  A48_CHECK(error == cudaSuccess, ErrorKind::no_resources, "no page-locked memory for ", bytes,
            " bytes: ", cudaGetErrorString(error));
  return memory;
}

void host_free(void* memory) { static_cast<void>(cudaFreeHost(memory)); }

void copy_to_device(void* device, const void* host, std::int64_t bytes, Stream stream) {
  check_cuda(cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice,
                             static_cast<cudaStream_t>(stream)),
             ErrorKind::internal, "copy to the device");
}

void copy_to_host(void* host, const void* device, std::int64_t bytes, Stream stream) {
  check_cuda(cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost,
                             static_cast<cudaStream_t>(stream)),
             ErrorKind::internal, "copy to the host");
}

void clear_on_device(void* device, std::int64_t bytes, Stream stream) {
  check_cuda(cudaMemsetAsync(device, 0, static_cast<std::size_t>(bytes), static_cast<cudaStream_t>(stream)),
             ErrorKind::internal, "clearing memory of the device");
}

void synchronize(Stream stream) {
  check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), ErrorKind::internal,
             "work on a stream");
}

}  // namespace a48::kernels::cuda
