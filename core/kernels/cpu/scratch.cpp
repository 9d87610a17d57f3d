#include "core/kernels/cpu/scratch.h"

#include <algorithm>

#include "core/base/buffer.h"

namespace a48::kernels::cpu {

std::byte* thread_scratch(std::int64_t bytes) {
  // Pages become resident when they are written, so that a generous first block costs nothing, and kernels
  // whose need grows with the context do not allocate again.
  constexpr std::int64_t kFirstBlock = std::int64_t{16} << 20;
  thread_local PageBuffer block;
  if (block.size() < bytes) {
    block = PageBuffer();  // give back before taking more
    block = PageBuffer(std::max(bytes, kFirstBlock));
  }
  return reinterpret_cast<std::byte*>(block.data());
}

}  // namespace a48::kernels::cpu
