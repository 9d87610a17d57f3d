// RMSNorm and its derivative: the portable loops (numerics.md 3). The definition: core/quant/reference.cpp.
// The same in instructions: rms_norm_rows_avx2.cpp, rms_norm_rows_avx512.cpp.
#include <algorithm>
#include <cmath>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/base/fmath.h"
#include "core/base/parallel.h"
#include "core/kernels/cpu/entries.h"
#include "core/kernels/table.h"
#include "core/quant/reference.h"

namespace a48::kernels {
namespace cpu {

void rms_norm_rows_portable(const RmsNormRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = args.x.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    float* y = args.y.row(r);
    const double sum = lane_sum<double>(
        width, [x](std::int64_t k) { return static_cast<double>(x[k]) * static_cast<double>(x[k]); });
    const float inverse = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + args.eps));
    for (std::int64_t k = 0; k < width; ++k) y[k] = (x[k] * inverse) * args.gain[k];
    if (args.inverse_rms != nullptr) args.inverse_rms[r] = inverse;
  }
}

void rms_norm_backward_blocks_portable(const RmsNormBackwardBlocks& args, std::int64_t begin,
                                       std::int64_t end) {
  const RmsNormBackwardRows& norm = args.norm;
  const std::int64_t width = norm.x.cols;
  for (std::int64_t block = begin; block < end; ++block) {
    float* dgain = args.dgain_of_block.row(block);
    std::fill(dgain, dgain + width, 0.0f);
    const std::int64_t first = block * quant::kGainBlockRows;
    for (std::int64_t r = first; r < std::min(first + quant::kGainBlockRows, norm.x.rows); ++r) {
      const float *x = norm.x.row(r), *dy = norm.dy.row(r), *gain = norm.gain;
      const float inverse = norm.inverse_rms[r];
      const float dot = lane_sum<float>(width, [=](std::int64_t k) { return (dy[k] * gain[k]) * x[k]; });
      const float pull = inverse * inverse * inverse / static_cast<float>(width) * dot;
      float* dx = norm.dx.row(r);
      for (std::int64_t k = 0; k < width; ++k) {
        dgain[k] += (dy[k] * x[k]) * inverse;
        dx[k] = (dy[k] * gain[k]) * inverse - x[k] * pull;
      }
    }
  }
}

}  // namespace cpu

// The gain's gradient: one partial sum per fixed block of rows, added in ascending order whoever computed
// them.
void rms_norm_backward_rows(const RmsNormBackwardRows& args) {
  const std::int64_t width = args.x.cols;
  A48_ASSERT(args.dy.rows == args.x.rows && args.dy.cols == width && args.dx.rows == args.x.rows &&
                 args.dx.cols == width,
             "x", args.x.rows, "x", width, "dy", args.dy.rows, "x", args.dy.cols, "dx", args.dx.rows, "x",
             args.dx.cols);
  const std::int64_t blocks = (args.x.rows + quant::kGainBlockRows - 1) / quant::kGainBlockRows;
  if (blocks == 0) return;
  Buffer<float> partial(blocks * width), total(width);
  const RmsNormBackwardBlocks work{args, partial.rows(blocks, width)};
  const auto rms_norm_backward_blocks = table().rms_norm_backward_blocks;
  parallel_for(blocks, 1,
               [&](std::int64_t begin, std::int64_t end) { rms_norm_backward_blocks(work, begin, end); });
  for (std::int64_t block = 0; block < blocks; ++block)
    for (std::int64_t k = 0; k < width; ++k) total[k] += partial[block * width + k];
  for (std::int64_t k = 0; k < width; ++k) args.dgain[k] += total[k];
}

}  // namespace a48::kernels
