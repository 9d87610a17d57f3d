// Device memory without a CUDA header: what tests, decode and benchmarks need besides kernels. Implemented in
// memory.cu, in builds without nvcc in absent.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "core/kernels/cuda/table_cuda.h"

namespace a48::kernels::cuda {

/// Devices that this program can use; 0 without a driver.
int device_count();

/// Why the kernels cannot run here, as a sentence; "" when they can.
std::string no_device_reason();
/// "NVIDIA H100 80GB HBM3".
std::string device_name();
std::int64_t free_device_memory();  // bytes

/// Starts at a multiple of 256. Error(no_resources) says how much was asked for.
void* device_allocate(std::int64_t bytes);
void device_free(void* memory);
/// Memory of the host that copies can run from and to by themselves: page-locked.
void* host_allocate(std::int64_t bytes);
void host_free(void* memory);

// On the stream; host memory must stay until it is done.
void copy_to_device(void* device, const void* host, std::int64_t bytes, Stream stream);
void copy_to_host(void* host, const void* device, std::int64_t bytes, Stream stream);
void clear_on_device(void* device, std::int64_t bytes, Stream stream);
/// Waits until the stream is done; Error(internal) if something on it failed.
void synchronize(Stream stream);

/// Owns `size` elements of the memory that kAllocate gives.
template <typename T, void* (*kAllocate)(std::int64_t), void (*kFree)(void*)>
class OwnedMemory {
 public:
  OwnedMemory() = default;
  explicit OwnedMemory(std::int64_t size)
      : data_(static_cast<T*>(kAllocate(size * static_cast<std::int64_t>(sizeof(T))))), size_(size) {}
  OwnedMemory(OwnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  OwnedMemory& operator=(OwnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~OwnedMemory() { kFree(data_); }

  T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  std::int64_t bytes() const { return size_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};
template <typename T>
using DeviceBuffer = OwnedMemory<T, device_allocate, device_free>;
template <typename T>
using PinnedBuffer = OwnedMemory<T, host_allocate, host_free>;

}  // namespace a48::kernels::cuda
