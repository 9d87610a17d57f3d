// Master weights to ternary codes: absolute sums of the rows in parallel, their lane sum, then codes in
// parallel by encode_rows with α as every row's statistic (numerics.md E2, 2). The formulas:
// core/quant/math.h.
#include "core/kernels/cpu/entries.h"

#include <cmath>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/base/fmath.h"
#include "core/base/parallel.h"
#include "core/kernels/table.h"
#include "core/quant/math.h"

namespace a48::kernels {
namespace cpu {

void abs_sum_rows_portable(const AbsSumRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    args.sum[r] =
        lane_sum<double>(args.x.cols, [x](std::int64_t k) { return std::fabs(static_cast<double>(x[k])); });
  }
}

}  // namespace cpu

void ternarize_weight(const TernarizeWeight& args) {
  const Rows<const float>& weight = args.weight;
  A48_ASSERT(!weight.empty() && args.codes.rows == weight.rows && args.codes.cols == weight.cols, "weight",
             weight.rows, "x", weight.cols, "codes", args.codes.rows, "x", args.codes.cols);
  constexpr std::int64_t kGrainElements = 1 << 15;  // a piece of work worth a thread
  const std::int64_t grain = kGrainElements / (weight.cols + 1) + 1;

  Buffer<double> sums(weight.rows);
  const AbsSumRows abs_sums{weight, sums.data()};
  const auto abs_sum_rows = table().abs_sum_rows;
  parallel_for(weight.rows, grain,
               [&](std::int64_t begin, std::int64_t end) { abs_sum_rows(abs_sums, begin, end); });
  const double total = lane_sum<double>(weight.rows, [&](std::int64_t n) { return sums[n]; });
  const double mean = total / (static_cast<double>(weight.rows) * static_cast<double>(weight.cols));
  const bool finite = quant::is_finite(static_cast<float>(mean));
  *args.alpha = finite ? quant::clamp_statistic(static_cast<float>(mean)) : quant::kStatisticFloor;
  *args.status = finite ? kRowFinite : kRowNonFinite;

  Buffer<float> stat(weight.rows), step(weight.rows);
  Buffer<std::uint8_t> status(weight.rows);
  Buffer<std::int32_t> code_sum(weight.rows);
  for (std::int64_t n = 0; n < weight.rows; ++n) {
    stat[n] = *args.alpha;
    status[n] = *args.status;
  }
  const EncodeRows codes{weight,      quant::Scheme::ternary, stat.data(), status.data(), args.codes,
                         step.data(), code_sum.data()};
  const auto encode_rows = table().encode_rows;
  parallel_for(weight.rows, grain,
               [&](std::int64_t begin, std::int64_t end) { encode_rows(codes, begin, end); });
}

}  // namespace a48::kernels
