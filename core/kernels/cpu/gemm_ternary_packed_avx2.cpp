// Panels of the avx2 and avx512 levels (gemm_ternary.h) straight from packed matrices, in any layout.
#include <immintrin.h>

#include "core/base/host_device.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

/// Code by code: outputs [first + begin, first + end), inputs from `input_begin` on.
void pack_codes(const TernaryMatrix& matrix, std::int64_t first, std::int64_t begin, std::int64_t end,
                std::int64_t input_begin, std::byte* panel, std::int64_t pitch) {
  for (std::int64_t n = begin; n < end; ++n) {
    for (std::int64_t k = input_begin; k < quads(matrix.cols) * kQuad; ++k) {
      int code = 0;
      if (k < matrix.cols) {
        const quant::TernaryPlace place = quant::ternary_place(matrix.layout, first + n, k);
        code = quant::ternary_at(matrix.packed.row(place.row)[place.byte], place.code) + 1;
      }
      panel[k / kQuad * pitch + n * kQuad + k % kQuad] = static_cast<std::byte>(code);
    }
  }
}

}  // namespace

void pack_ternary_quads_avx2(const TernaryMatrix& matrix, std::int64_t panel_outputs,
                             std::int64_t panel_begin, std::int64_t panel_end, std::byte* panels) {
  const std::int64_t pitch = kQuad * panel_outputs;
  for (std::int64_t p = panel_begin; p < panel_end; ++p) {
    std::byte* panel = panels + (p - panel_begin) * quads(matrix.cols) * pitch;
    const std::int64_t first = p * panel_outputs, left = matrix.rows - first;
    pack_codes(matrix, first, 0, left < panel_outputs ? left : panel_outputs, 0, panel, pitch);
  }
}

}  // namespace a48::kernels::cpu
