#include "core/kernels/cpu/scratch.h"

#include "core/base/buffer.h"

namespace a48::kernels::cpu {

std::byte* thread_scratch(std::int64_t bytes) {
  thread_local Buffer<std::byte> block;
  if (block.size() < bytes) {
    block = Buffer<std::byte>();  // give back before taking more
    block = Buffer<std::byte>(bytes);
  }
  return block.data();
}

}  // namespace a48::kernels::cpu
