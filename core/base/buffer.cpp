#include "core/base/buffer.h"

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

}  // namespace a48
