// Kernel-internal: statistic, TopK and codes for the registers of the including file (rows_<isa>.h). What
// each step means: quantize_rows.cpp, core/quant/math.h, core/quant/topk.h.
#pragma once

#include "core/kernels/table.h"
#include "core/quant/math.h"
#include "core/quant/topk.h"

namespace a48::kernels::cpu {
namespace {

using quant::SchemeRow;
using quant::Statistic;
using quant::TopkCut;

constexpr auto kRows = quant::kSchemes;  // a copy of the file's own: no symbol shared with other files
const SchemeRow& scheme_row(quant::Scheme scheme) { return kRows[static_cast<std::size_t>(scheme)]; }

std::uint32_t largest_bits(const float* x, std::int64_t width) {
  Integers largest[kParts];
  for (Integers& part : largest) part = Integers::zero();
  for_each_part(width, [&](std::int64_t k, int i, auto extent) {
    largest[i] = maximum(largest[i], bits_of_magnitude(extent.load(x + k, i)));
  });
  for (int i = 1; i < kParts; ++i) largest[0] = maximum(largest[0], largest[i]);
  return static_cast<std::uint32_t>(largest_of(largest[0]));
}

double absolute_sum(const float* x, std::int64_t width) {
  DoubleLanes sum = DoubleLanes::zero();
  for_each_part(width,
                [&](std::int64_t k, int i, auto extent) { sum.add(i, magnitude(extent.load(x + k, i))); });
  return sum.fold();
}

float statistic_of(Statistic statistic, const float* x, std::int64_t width) {
  if (statistic == Statistic::absmax) return quant::from_bits(largest_bits(x, width));
  const float mean = static_cast<float>(absolute_sum(x, width) / static_cast<double>(width));
  return statistic == Statistic::absmean2 ? 2.0f * mean : mean;
}

float measure(Statistic statistic, const float* x, std::int64_t width, std::uint8_t& status) {
  const float value = statistic_of(statistic, x, width);
  const bool finite = quant::is_finite(value);
  status = finite ? kRowFinite : kRowNonFinite;
  return finite ? quant::clamp_statistic(value) : quant::kStatisticFloor;
}

TopkCut cut_of(const float* x, std::int64_t width, std::int64_t keep) {
  return quant::find_topk_cut(largest_bits(x, width), width, keep, [x, width](std::uint32_t threshold) {
    const Integers below =
        Integers::broadcast(static_cast<std::int32_t>(threshold) - 1);  // >= 0: padding never counts
    Integers count[kParts];
    for (Integers& part : count) part = Integers::zero();
    for_each_part(width, [&](std::int64_t k, int i, auto extent) {
      count[i] = count_above(count[i], bits_of_magnitude(extent.load(x + k, i)), below);
    });
    for (int i = 1; i < kParts; ++i) count[0] = count[0] + count[i];
    return std::int64_t{sum_of(count[0])};
  });
}

/// The entries equal to the cut that survive, in ascending order.
template <typename Visit>
A48_INLINE void for_each_tie(const TopkCut& cut, const float* x, std::int64_t width, Visit visit) {
  std::int64_t ties = cut.ties;
  for (std::int64_t k = 0; k < width && ties > 0; ++k) {
    if (quant::magnitude_bits(x[k]) != cut.bits) continue;
    visit(k);
    --ties;
  }
}

/// Writes the codes of a row, 0 where the bits of |x| are not above `cut` (if kCut), and returns their sum.
template <bool kGrid, bool kCut>
std::int32_t encode_row(const SchemeRow& scheme, float inv, const float* x, std::int64_t width,
                        std::uint32_t cut, std::int8_t* codes) {
  const Vector scale = Vector::broadcast(inv);
  const Vector low = Vector::broadcast(static_cast<float>(scheme.min_code));
  const Vector high = Vector::broadcast(static_cast<float>(scheme.max_code));
  const Integers cut_bits = Integers::broadcast(static_cast<std::int32_t>(cut));
  Integers sum = Integers::zero();
  for_each_block(width, [&](std::int64_t k, auto extent) {
    Integers code[kParts];
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) {
      const Vector part = extent.load(x + k, i);
      code[i] = kGrid ? grid_code(part * scale) : integer_code(part * scale, low, high);
      if constexpr (kCut) code[i] = keep_above(code[i], bits_of_magnitude(part), cut_bits);
      sum = sum + code[i];
    }
    store_bytes(codes + k, code, extent);
  });
  return sum_of(sum);
}

template <bool kCut>
A48_INLINE std::int32_t encode_row(const SchemeRow& scheme, float inv, const float* x, std::int64_t width,
                                   std::uint32_t cut, std::int8_t* codes) {
  return scheme.kind == quant::CodeKind::fp4_grid
             ? encode_row<true, kCut>(scheme, inv, x, width, cut, codes)
             : encode_row<false, kCut>(scheme, inv, x, width, cut, codes);
}

A48_INLINE void stat_rows_body(const StatRows& args, std::int64_t begin, std::int64_t end) {
  const Statistic statistic = scheme_row(args.scheme).statistic;
  for (std::int64_t r = begin; r < end; ++r)
    args.stat[r] = measure(statistic, args.x.row(r), args.x.cols, args.status[r]);
}

A48_INLINE void abs_sum_rows_body(const AbsSumRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) args.sum[r] = absolute_sum(args.x.row(r), args.x.cols);
}

A48_INLINE void encode_rows_body(const EncodeRows& args, std::int64_t begin, std::int64_t end) {
  const SchemeRow& scheme = scheme_row(args.scheme);
  for (std::int64_t r = begin; r < end; ++r) {
    args.step[r] = quant::step_of(scheme, args.stat[r]);
    args.code_sum[r] = 0;
    if (args.status[r] == kRowFinite) {
      const float inv = quant::inv_of(scheme, args.stat[r]);
      args.code_sum[r] = encode_row<false>(scheme, inv, args.x.row(r), args.x.cols, 0, args.codes.row(r));
    } else {
      std::memset(args.codes.row(r), 0, static_cast<std::size_t>(args.x.cols));
    }
  }
}

A48_INLINE void topk_rows_body(const TopkRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    std::uint8_t* mask = args.mask.row(r);
    const TopkCut cut = cut_of(x, args.x.cols, args.keep);
    const Integers cut_bits = Integers::broadcast(static_cast<std::int32_t>(cut.bits)),
                   one = Integers::broadcast(1);
    for_each_block(args.x.cols, [&](std::int64_t k, auto extent) {
      Integers above[kParts];
      for (int i = 0; i < kParts; ++i)
        above[i] = keep_above(one, bits_of_magnitude(extent.load(x + k, i)), cut_bits);
      store_bytes(mask + k, above, extent);
    });
    for_each_tie(cut, x, args.x.cols, [mask](std::int64_t k) { mask[k] = 1; });
  }
}

A48_INLINE void quantize_rows_body(const QuantizeRows& args, std::int64_t begin, std::int64_t end) {
  const SchemeRow& scheme = scheme_row(args.scheme);
  const std::int64_t width = args.x.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    std::int8_t* codes = args.codes.row(r);
    const float stat = measure(scheme.statistic, x, width, args.status[r]);
    args.step[r] = quant::step_of(scheme, stat);
    args.code_sum[r] = 0;
    if (args.status[r] != kRowFinite) {
      std::memset(codes, 0, static_cast<std::size_t>(width));
      continue;
    }
    const float inv = quant::inv_of(scheme, stat);
    if (args.keep == 0 || args.keep >= width) {
      args.code_sum[r] = encode_row<false>(scheme, inv, x, width, 0, codes);
      continue;
    }
    const TopkCut cut = cut_of(x, width, args.keep);
    args.code_sum[r] = encode_row<true>(scheme, inv, x, width, cut.bits, codes);
    for_each_tie(cut, x, width, [&](std::int64_t k) {
      const int code = quant::encode(scheme, x[k], inv);
      codes[k] = static_cast<std::int8_t>(code);
      args.code_sum[r] += code;
    });
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
