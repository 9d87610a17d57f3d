// Device memory without a CUDA header: what tests, decode and benchmarks need besides kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/kernels/cuda/table_cuda.h"

namespace a48::kernels::cuda {

/// Devices that this program can use; 0 without a driver.
int device_count();

/// Starts at a multiple of 256. Error(no_resources) says how much was asked for.
void* device_allocate(std::int64_t bytes);
void device_free(void* memory);
// On the stream; host memory must stay until it is done.
void copy_to_device(void* device, const void* host, std::int64_t bytes, Stream stream);
void copy_to_host(void* host, const void* device, std::int64_t bytes, Stream stream);
/// Waits until the stream is done; Error(internal) if something on it failed.
void synchronize(Stream stream);

/// Owns `size` elements of device memory.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::int64_t size)
      : data_(static_cast<T*>(device_allocate(size * static_cast<std::int64_t>(sizeof(T))))), size_(size) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceBuffer() { device_free(data_); }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace a48::kernels::cuda
