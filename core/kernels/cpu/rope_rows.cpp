// The rotary embedding: the portable loop (numerics.md 3). Tables: core/kernels/rope_table.h.
// The same in instructions: rope_rows_avx2.cpp.
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {

void rope_rows_portable(const RopeRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = args.head_dim / 2;
  const float direction = args.inverse ? -1.0f : 1.0f;
  for (std::int64_t r = begin; r < end; ++r) {
    const float *cos = args.cos.row(args.position[r]), *sin = args.sin.row(args.position[r]);
    for (std::int64_t h = 0; h < args.heads; ++h) {
      const float* x = args.x.row(r) + h * args.head_dim;
      float* y = args.y.row(r) + h * args.head_dim;
      for (std::int64_t i = 0; i < half; ++i) {
        const float first = x[i], second = x[i + half];
        const float c = cos[i], s = sin[i] * direction;
        y[i] = first * c - second * s;
        y[i + half] = second * c + first * s;
      }
    }
  }
}

}  // namespace a48::kernels::cpu
