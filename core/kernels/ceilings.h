// The loops that `a48 bench ceilings` times (kernels.md 3): the most that a level of this CPU can do with
// bytes and 8-bit integers, against which kernels are measured. The loops: cpu/ceilings*.cpp.
#pragma once

#include <cstdint>

#include "core/base/cpu.h"

namespace a48::kernels {

struct CeilingLoops {
  /// Reads `bytes`, a multiple of 512, at 64-byte steps; the sum of its 64-bit words.
  std::uint64_t (*read)(const std::uint8_t* data, std::int64_t bytes);
  /// `rounds` times `products_a_round` 8-bit multiply-adds with operands in registers; their sum, all
  /// operands being 1.
  std::int64_t (*multiply_add)(std::int64_t rounds);
  std::int64_t products_a_round;
  /// Σ code·(t + 1) of one T2_ROW row of `bytes`, a multiple of 64, with INT8 codes: the bare loop of shifts,
  /// masks and multiply-adds that other engines run.
  std::int64_t (*unpack)(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes);
};

/// Of a level that is present; `reference` has those of `portable`.
const CeilingLoops& ceiling_loops(IsaLevel level);

namespace cpu {
extern const CeilingLoops ceilings_portable, ceilings_avx2, ceilings_avx512;
}

}  // namespace a48::kernels
