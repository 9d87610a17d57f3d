// What a level provides for gemm_bf16 (api.h); api.cpp drives it. Both operands are rounded to bf16 while
// they are packed, in pairs of neighbouring inputs, a pair in one word (the earlier input in its low half): a
// first operand in blocks of kBf16Rows rows, a second one in panels of kBf16Outputs outputs.
#pragma once

#include <cstdint>

#include "core/kernels/api.h"

namespace a48::kernels {

/// The tile of sums that a CPU with 32 registers of 16 lanes holds: 8 × 3 of them.
inline constexpr std::int64_t kBf16Rows = 8, kBf16Outputs = 48;

/// Inputs [begin, end) of a product: what is packed and multiplied at a time. begin is even.
struct InputRange {
  std::int64_t begin, end;
  constexpr std::int64_t pairs() const { return (end - begin + 1) / 2; }
};

struct GemmBf16Kernel {
  /// Block b holds rows [8b, 8b + 8): pair p of row 8b + i at word 8·p + i. Blocks [begin, end) of the args'
  /// rows go to `words`, 8·pairs each. Rows and inputs beyond the last are 0.
  void (*pack_rows)(const GemmBf16& args, InputRange inputs, std::int64_t begin, std::int64_t end,
                    std::uint32_t* words);
  /// Panel p holds outputs [48p, 48p + 48): pair q of output 48p + j at word 48·q + j. One panel.
  void (*pack_outputs)(const GemmBf16& args, InputRange inputs, std::int64_t panel, std::uint32_t* words);
  /// c = scale·sum, or c + scale·sum, for the rows of blocks [begin, end), packed at `rows`, and one panel.
  /// Of a pair the later input is added first, every sum is rounded.
  void (*multiply)(const GemmBf16& args, std::int64_t pairs, const std::uint32_t* rows, std::int64_t begin,
                   std::int64_t end, const std::uint32_t* outputs, std::int64_t panel, bool accumulate);
};

}  // namespace a48::kernels
