// Kernel-internal: a row as blocks of 32 floats, the last one filled up with +0, so that lane l of numerics
// E1 is element l of a block. For the Vector of the including file: include vector_<isa>.h first.
#pragma once

#include <cstdint>

#include "core/base/fmath.h"
#include "core/base/host_device.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kParts = kLanes / Vector::kWidth;  // registers of a block

struct Block {
  Vector part[kParts];
};

/// How much of a block the row covers: all of it, or its first `count` elements, 1 … 31.
struct Whole {
  static A48_INLINE Vector load(const float* x, int part) { return Vector::load(x + part * Vector::kWidth); }
  A48_INLINE void store(float* y, int part, Vector v) const { v.store(y + part * Vector::kWidth); }
};
struct Partial {
  int count;
  A48_INLINE int in(int part) const {
    const int rest = count - part * Vector::kWidth;
    return rest < 0 ? 0 : (rest > Vector::kWidth ? Vector::kWidth : rest);
  }
  A48_INLINE Vector load(const float* x, int part) const {
    return in(part) > 0 ? Vector::load_first(x + part * Vector::kWidth, in(part)) : Vector::zero();
  }
  A48_INLINE void store(float* y, int part, Vector v) const {
    if (in(part) > 0) v.store_first(y + part * Vector::kWidth, in(part));
  }
};

/// body(k, extent) for the blocks that start at k = 0, 32, 64 … of a row.
template <typename Body>
A48_INLINE void for_each_block(std::int64_t width, Body body) {
  std::int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) body(k, Whole{});
  if (k < width) body(k, Partial{static_cast<int>(width - k)});
}

/// body(k, part, extent) for the registers of those blocks: elements k + part·kWidth and following.
template <typename Body>
A48_INLINE void for_each_part(std::int64_t width, Body body) {
  for_each_block(width, [&](std::int64_t k, auto extent) {
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) body(k, i, extent);
  });
}

A48_INLINE Block zero_block() {
  Block block;
  for (Vector& part : block.part) part = Vector::zero();
  return block;
}

}  // namespace
}  // namespace a48::kernels::cpu
