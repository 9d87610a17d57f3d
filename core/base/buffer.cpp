#include "core/base/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/base/check.h"

namespace a48 {

void* aligned_zeroed(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::size_t rounded = (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  void* const pointer = rounded < bytes ? nullptr : std::aligned_alloc(kBufferAlignment, rounded);
  A48_CHECK(pointer != nullptr, ErrorKind::no_resources, "not enough memory for a buffer of ", bytes,
            " bytes; a smaller model, batch or sequence needs less");
  std::memset(pointer, 0, rounded);
  return pointer;
}

void aligned_release(void* pointer) noexcept { std::free(pointer); }

PageBuffer::PageBuffer(std::int64_t bytes, bool large_pages) {
  if (bytes == 0) return;
  void* const pages = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  A48_CHECK(pages != MAP_FAILED, ErrorKind::no_resources, "the system has no room for ", bytes,
            " bytes; a shorter context, fewer sequences or fewer bits need less");
  pages_ = {static_cast<std::uint8_t*>(pages), Unmap{bytes}};
  if (large_pages) madvise(pages, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // a hint: it may fail
}

void PageBuffer::Unmap::operator()(std::uint8_t* pages) const noexcept {
  munmap(pages, static_cast<std::size_t>(bytes));
}

}  // namespace a48
