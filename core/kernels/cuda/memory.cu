// Device memory, copies and waiting: thin over the runtime.
#include "core/kernels/cuda/memory.h"

#include "core/kernels/cuda/launch.cuh"

namespace a48::kernels::cuda {

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
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

void synchronize(Stream stream) {
  check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), ErrorKind::internal,
             "work on a stream");
}

}  // namespace a48::kernels::cuda
