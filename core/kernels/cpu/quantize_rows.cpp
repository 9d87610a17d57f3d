// Statistic, TopK, codes: the portable loops. The formulas: core/quant/math.h; the cut of TopK:
// core/quant/topk.h. The same in instructions: quantize_rows_avx2.cpp, quantize_rows_avx512.cpp.
#include <cmath>

#include "core/base/fmath.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"
#include "core/quant/topk.h"

namespace a48::kernels::cpu {
namespace {

using quant::SchemeRow;
using quant::Statistic;
using quant::TopkCut;

std::uint32_t largest_bits(const float* x, std::int64_t width) {
  std::int32_t largest = 0;  // magnitudes fit a signed integer
  for (std::int64_t k = 0; k < width; ++k) {
    const std::int32_t bits = static_cast<std::int32_t>(quant::magnitude_bits(x[k]));
    largest = bits > largest ? bits : largest;
  }
  return static_cast<std::uint32_t>(largest);
}

float statistic_of(Statistic statistic, const float* x, std::int64_t width) {
  if (statistic == Statistic::absmax) return quant::from_bits(largest_bits(x, width));
  const double sum =
      lane_sum<double>(width, [x](std::int64_t k) { return std::fabs(static_cast<double>(x[k])); });
  const float mean = static_cast<float>(sum / static_cast<double>(width));
  return statistic == Statistic::absmean2 ? 2.0f * mean : mean;
}

// The clamped statistic of a finite row; the floor and kRowNonFinite of another.
float measure(Statistic statistic, const float* x, std::int64_t width, std::uint8_t& status) {
  const float value = statistic_of(statistic, x, width);
  const bool finite = quant::is_finite(value);
  status = finite ? kRowFinite : kRowNonFinite;
  return finite ? quant::clamp_statistic(value) : quant::kStatisticFloor;
}

std::int32_t encode_row(const SchemeRow& scheme, float inv, const float* x, std::int64_t width,
                        std::int8_t* codes) {
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < width; ++k) {
    const int code = quant::encode(scheme, x[k], inv);
    codes[k] = static_cast<std::int8_t>(code);
    sum += code;
  }
  return sum;
}

void clear_row(std::int8_t* codes, std::int64_t width) {
  for (std::int64_t k = 0; k < width; ++k) codes[k] = 0;
}

TopkCut cut_of(const float* x, std::int64_t width, std::int64_t keep) {
  return quant::find_topk_cut(largest_bits(x, width), width, keep, [x, width](std::uint32_t threshold) {
    const std::int32_t from = static_cast<std::int32_t>(threshold);
    std::int32_t count = 0;
    for (std::int64_t k = 0; k < width; ++k)
      count += static_cast<std::int32_t>(quant::magnitude_bits(x[k])) >= from;
    return std::int64_t{count};
  });
}

// Visits the entries in order and says which survive.
template <typename Visit>
void for_each_survival(const TopkCut& cut, const float* x, std::int64_t width, Visit visit) {
  std::int64_t ties = cut.ties;
  for (std::int64_t k = 0; k < width; ++k) {
    const std::uint32_t bits = quant::magnitude_bits(x[k]);
    const bool tie = bits == cut.bits && ties > 0;
    ties -= tie;
    visit(k, bits > cut.bits || tie);
  }
}

}  // namespace

void stat_rows_portable(const StatRows& args, std::int64_t begin, std::int64_t end) {
  const Statistic statistic = quant::row_of(args.scheme).statistic;
  for (std::int64_t r = begin; r < end; ++r)
    args.stat[r] = measure(statistic, args.x.row(r), args.x.cols, args.status[r]);
}

void encode_rows_portable(const EncodeRows& args, std::int64_t begin, std::int64_t end) {
  const SchemeRow& scheme = quant::row_of(args.scheme);
  for (std::int64_t r = begin; r < end; ++r) {
    args.step[r] = quant::step_of(scheme, args.stat[r]);
    args.code_sum[r] = 0;
    if (args.status[r] == kRowFinite) {
      args.code_sum[r] = encode_row(scheme, quant::inv_of(scheme, args.stat[r]), args.x.row(r), args.x.cols,
                                    args.codes.row(r));
    } else {
      clear_row(args.codes.row(r), args.x.cols);
    }
  }
}

void topk_rows_portable(const TopkRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    std::uint8_t* mask = args.mask.row(r);
    for_each_survival(cut_of(x, args.x.cols, args.keep), x, args.x.cols,
                      [mask](std::int64_t k, bool survives) { mask[k] = survives; });
  }
}

void quantize_rows_portable(const QuantizeRows& args, std::int64_t begin, std::int64_t end) {
  const SchemeRow& scheme = quant::row_of(args.scheme);
  const std::int64_t width = args.x.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    std::int8_t* codes = args.codes.row(r);
    const float stat = measure(scheme.statistic, x, width, args.status[r]);
    args.step[r] = quant::step_of(scheme, stat);
    args.code_sum[r] = 0;
    if (args.status[r] != kRowFinite) {
      clear_row(codes, width);
      continue;
    }
    args.code_sum[r] = encode_row(scheme, quant::inv_of(scheme, stat), x, width, codes);
    if (args.keep == 0 || args.keep >= width) continue;
    std::int32_t sum = 0;
    for_each_survival(cut_of(x, width, args.keep), x, width, [&](std::int64_t k, bool survives) {
      codes[k] = static_cast<std::int8_t>(codes[k] * survives);
      sum += codes[k];
    });
    args.code_sum[r] = sum;
  }
}

}  // namespace a48::kernels::cpu
