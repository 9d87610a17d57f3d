// What a level provides for gemm_ternary (api.h); api.cpp drives it. Many rows: weights are packed into
// panels of `panel_outputs` outputs, once a call, and each panel is multiplied with blocks of rows. Few rows:
// `direct` reads the weight rows as they are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernels/api.h"

namespace a48::kernels {

struct GemmTernaryKernel {
  std::int64_t direct_rows;  // up to so many rows `direct` is the quicker way
  /// Outputs [begin, end) of all rows; weights in int8.
  void (*direct)(const GemmTernary& args, std::int64_t begin, std::int64_t end);

  std::int64_t panel_outputs;
  std::int64_t (*panel_bytes)(std::int64_t inputs);
  /// Panel p holds outputs [p·panel_outputs, …) of `weight`; the panels [panel_begin, panel_end) go to
  /// `panels`, one after the other. Outputs beyond the last may hold anything.
  void (*pack)(Rows<const std::int8_t> weight, std::int64_t panel_begin, std::int64_t panel_end,
               std::byte* panels);
  /// The same panels from a packed matrix. nullptr: `direct` reads args.packed.
  void (*pack_ternary)(const TernaryMatrix& matrix, std::int64_t panel_begin, std::int64_t panel_end,
                       std::byte* panels);
  /// Rows [row_begin, row_end) × the outputs from `output_begin` on that `panel` holds.
  void (*multiply)(const GemmTernary& args, const std::byte* panel, std::int64_t output_begin,
                   std::int64_t row_begin, std::int64_t row_end);
};

namespace cpu {

/// The panel of the avx2 and avx512 levels: input quad q of output n at 4·(q·outputs + n) + (input mod 4), as
/// u8 codes t + 1; inputs beyond the last may be any code, since they meet
/// input codes of 0. `maddubs` and `vpdpbusd` multiply such a quad with four
/// input codes; Σ(t+1)·c − Σc = Σt·c.
inline constexpr std::int64_t kQuad = 4;
inline std::int64_t quads(std::int64_t inputs) { return (inputs + kQuad - 1) / kQuad; }

/// pack() for that layout (gemm_ternary_avx2.cpp).
void pack_quads_avx2(Rows<const std::int8_t> weight, std::int64_t panel_outputs, std::int64_t panel_begin,
                     std::int64_t panel_end, std::byte* panels);

/// pack_ternary() for it (gemm_ternary_packed_avx2.cpp).
void pack_ternary_quads_avx2(const TernaryMatrix& matrix, std::int64_t panel_outputs,
                             std::int64_t panel_begin, std::int64_t panel_end, std::byte* panels);

/// Additions of `largest` in absolute value that an int16 lane takes without overflow (kernels.md 5.2).
constexpr int additions_in_int16(int largest) { return 32767 / largest; }

}  // namespace cpu
}  // namespace a48::kernels
