// One token × T2_ROW4 in plain C++: a byte holds the codes of four outputs at one input. The same in
// instructions: gemv_ternary_avx2.cpp, gemv_ternary_avx512.cpp. Layout and epilogue: core/quant/pack.h,
// math.h.
#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"

namespace a48::kernels::cpu {

void gemv_ternary_portable(const GemvTernaryRow4& args, std::int64_t begin, std::int64_t end) {
  const std::int8_t* x = args.input.codes;
  for (std::int64_t g = begin; g < end; ++g) {
    const std::uint8_t* packed = args.matrix.packed.row(g);
    std::int32_t sum[4] = {};
    for (std::int64_t e = 0; e < args.matrix.cols; ++e) {
      for (int j = 0; j < 4; ++j) sum[j] += ((packed[e] >> (2 * j)) & 3) * x[e];
    }
    const std::int64_t left = args.matrix.rows - 4 * g;
    for (int j = 0; j < (left < 4 ? left : 4); ++j)
      args.y[4 * g + j] = quant::epilogue(sum[j] - args.input.code_sum, args.input.step, args.matrix.alpha);
  }
}

}  // namespace a48::kernels::cpu
