#include "tools/memory_read.h"

#include <chrono>
#include <cstring>

#include "core/base/cpu.h"
#include "core/base/parallel.h"

namespace a48::tools {

MemoryRead::MemoryRead(std::int64_t bytes)
    : loops_(kernels::ceiling_loops(active_isa())), stream_(bytes, true) {
  // Untouched pages would all be one page of zeros.
  std::memset(stream_.data(), 0x55, static_cast<std::size_t>(stream_.size()));
}

double MemoryRead::rate(std::int64_t bytes) {
  const std::int64_t begin = position_;
  position_ = position_ + 2 * bytes <= stream_.size() ? position_ + bytes : 0;
  return static_cast<double>(bytes) / seconds(stream_.data() + begin, bytes) * 1e-9;
}

double MemoryRead::seconds(const std::uint8_t* data, std::int64_t bytes) const {
  constexpr std::int64_t kBlock = 4096;
  const auto begin = std::chrono::steady_clock::now();
  parallel_for(bytes / kBlock, 1, [&](std::int64_t from, std::int64_t to) {
    const auto sum = static_cast<std::int64_t>(loops_.read(data + from * kBlock, (to - from) * kBlock));
    asm volatile("" : : "r"(sum));  // keeps a loop whose result nobody needs
  });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace a48::tools
