// Kernel-internal: the rotary embedding for the registers of the including file (rows_<isa>.h). What it
// means: rope_rows.cpp.
#pragma once

#include "core/kernels/api.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE void rope_rows_body(const RopeRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = args.head_dim / 2;
  const Vector direction = Vector::broadcast(args.inverse ? -1.0f : 1.0f);
  for (std::int64_t r = begin; r < end; ++r) {
    const float *cos = args.cos.row(args.position[r]), *sin = args.sin.row(args.position[r]);
    for (std::int64_t h = 0; h < args.heads; ++h) {
      const float* x = args.x.row(r) + h * args.head_dim;
      float* y = args.y.row(r) + h * args.head_dim;
      for_each_part(half, [&](std::int64_t k, int i, auto extent) {
        const Vector first = extent.load(x + k, i), second = extent.load(x + half + k, i);
        const Vector c = extent.load(cos + k, i), s = extent.load(sin + k, i) * direction;
        extent.store(y + k, i, first * c - second * s);
        extent.store(y + half + k, i, second * c + first * s);
      });
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
