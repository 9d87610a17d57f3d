// The rate at which this machine reads memory, by the loop of the level in use: what decoding is measured
// against.
#pragma once

#include <cstdint>

#include "core/base/buffer.h"
#include "core/kernels/ceilings.h"

namespace a48::tools {

class MemoryRead {
 public:
  /// Room for `bytes`, far beyond every cache, in pages of 2 MiB, all of it written once.
  explicit MemoryRead(std::int64_t bytes);

  /// GB/s of reading the next `bytes` of it, shared out over the threads.
  double rate(std::int64_t bytes);
  /// Seconds of reading `bytes` at `data`, shared out over the threads.
  double seconds(const std::uint8_t* data, std::int64_t bytes) const;
  const std::uint8_t* data() const { return stream_.data(); }

 private:
  const kernels::CeilingLoops& loops_;
  PageBuffer stream_;
  std::int64_t position_ = 0;
};

}  // namespace a48::tools
