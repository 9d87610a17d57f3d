// Kernel-internal: RMSNorm and its derivative for the registers of the including file (rows_<isa>.h). What
// each step means: rms_norm_rows.cpp.
#pragma once

#include "core/kernels/table.h"
#include "core/quant/reference.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE void rms_norm_rows_body(const RmsNormRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = args.x.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    float* y = args.y.row(r);
    DoubleLanes sum = DoubleLanes::zero();
    for_each_part(width,
                  [&](std::int64_t k, int i, auto extent) { sum.add_square(i, extent.load(x + k, i)); });
    const double mean = sum.fold() / static_cast<double>(width);
    const float inverse = static_cast<float>(1.0 / __builtin_sqrt(mean + args.eps));
    const Vector scale = Vector::broadcast(inverse);
    for_each_part(width, [&](std::int64_t k, int i, auto extent) {
      extent.store(y + k, i, (extent.load(x + k, i) * scale) * extent.load(args.gain + k, i));
    });
    if (args.inverse_rms != nullptr) args.inverse_rms[r] = inverse;
  }
}

A48_INLINE void rms_norm_backward_blocks_body(const RmsNormBackwardBlocks& args, std::int64_t begin,
                                              std::int64_t end) {
  const RmsNormBackwardRows& norm = args.norm;
  const std::int64_t width = norm.x.cols;
  const float* gain = norm.gain;
  for (std::int64_t block = begin; block < end; ++block) {
    float* dgain = args.dgain_of_block.row(block);
    std::memset(dgain, 0, static_cast<std::size_t>(width) * sizeof(float));
    const std::int64_t first = block * quant::kGainBlockRows;
    const std::int64_t last =
        first + quant::kGainBlockRows < norm.x.rows ? first + quant::kGainBlockRows : norm.x.rows;
    for (std::int64_t r = first; r < last; ++r) {
      const float *x = norm.x.row(r), *dy = norm.dy.row(r);
      float* dx = norm.dx.row(r);
      const float inverse = norm.inverse_rms[r];
      const Vector scale = Vector::broadcast(inverse);
      Block dot = zero_block();
      for_each_part(width, [&](std::int64_t k, int i, auto extent) {
        const Vector grad = extent.load(dy + k, i), input = extent.load(x + k, i);
        dot.part[i] = dot.part[i] + (grad * extent.load(gain + k, i)) * input;
        extent.store(dgain + k, i, extent.load(dgain + k, i) + (grad * input) * scale);
      });
      const Vector pull =
          Vector::broadcast(inverse * inverse * inverse / static_cast<float>(width) * fold(dot));
      for_each_part(width, [&](std::int64_t k, int i, auto extent) {
        const Vector scaled = (extent.load(dy + k, i) * extent.load(gain + k, i)) * scale;
        extent.store(dx + k, i, scaled - extent.load(x + k, i) * pull);
      });
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
