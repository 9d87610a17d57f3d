// Buffer<T>: aligned, zeroed storage, and PageBuffer, whose pages cost nothing before they are written: the
// only owners of raw memory in the torch-free part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "core/base/view.h"

namespace a48 {

inline constexpr std::size_t kBufferAlignment = 64;  // bytes: one cache line, one AVX-512 register

/// Zeroed bytes aligned to kBufferAlignment. Throws Error(no_resources) naming the size when memory is short.
void* aligned_zeroed(std::size_t bytes);
void aligned_release(void* pointer) noexcept;

template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::int64_t size)
      : data_(static_cast<T*>(aligned_zeroed(static_cast<std::size_t>(size) * sizeof(T)))), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::int64_t size() const { return size_; }
  T& operator[](std::int64_t i) { return data_.get()[i]; }
  const T& operator[](std::int64_t i) const { return data_.get()[i]; }
  std::span<T> span() { return {data_.get(), static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const { return {data_.get(), static_cast<std::size_t>(size_)}; }
  Rows<T> rows(std::int64_t rows, std::int64_t cols) { return {data_.get(), rows, cols}; }
  Rows<const T> rows(std::int64_t rows, std::int64_t cols) const { return {data_.get(), rows, cols}; }

 private:
  struct Release {
    void operator()(T* pointer) const noexcept { aligned_release(pointer); }
  };
  std::unique_ptr<T, Release> data_;
  std::int64_t size_ = 0;
};

/// Zeroed memory in whole pages of the system, which become resident when they are first written: for storage
/// that fills up slowly.
class PageBuffer {
 public:
  PageBuffer() = default;
  /// Error(no_resources) naming the size when the system refuses. `large_pages`: of 2 MiB where the system
  /// has them, for fewer address translations.
  explicit PageBuffer(std::int64_t bytes, bool large_pages = false);

  std::uint8_t* data() const { return pages_.get(); }
  std::int64_t size() const { return pages_.get_deleter().bytes; }

 private:
  struct Unmap {
    std::int64_t bytes;
    void operator()(std::uint8_t* pages) const noexcept;
  };
  std::unique_ptr<std::uint8_t, Unmap> pages_;
};

}  // namespace a48
