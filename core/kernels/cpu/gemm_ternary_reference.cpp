#include <limits>

#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"
#include "core/quant/reference.h"

namespace a48::kernels::cpu {
namespace {

void direct_packed(const GemmTernary& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = 0; r < a.codes.rows; ++r)
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t sum =
          quant::reference_ternary_sum(a.codes.row(r), a.codes.cols, a.packed->layout, a.packed->packed, n);
      a.y.row(r)[n] = quant::epilogue(static_cast<std::int32_t>(sum), a.step[r], a.alpha);
    }
}

void direct(const GemmTernary& a, std::int64_t begin, std::int64_t end) {
  if (a.packed != nullptr) return direct_packed(a, begin, end);
  const Rows<const std::int8_t> weight(a.weight.row(begin), end - begin, a.weight.cols, a.weight.stride);
  const Rows<float> y(a.y.data + begin, a.y.rows, end - begin, a.y.stride);
  quant::reference_gemm_ternary(a.codes, a.step, weight, a.alpha, y);
}

}  // namespace

const GemmTernaryKernel gemm_ternary_reference = {
    .direct_rows = std::numeric_limits<std::int64_t>::max(),
    .direct = direct,
    .panel_outputs = 0,
    .panel_bytes = nullptr,
    .pack = nullptr,
    .pack_ternary = nullptr,
    .multiply = nullptr,
};

}  // namespace a48::kernels::cpu
