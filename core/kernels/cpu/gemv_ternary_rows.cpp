// One token × listed T2_ROW rows in plain C++: 32 bytes hold 128 inputs of a row. The same in instructions:
// gemv_ternary_rows_avx2.cpp, gemv_ternary_rows_avx512.cpp. Layout and epilogue: core/quant/pack.h, math.h.
#include "core/kernels/cpu/entries.h"
#include "core/quant/math.h"

namespace a48::kernels::cpu {

void gemv_ternary_rows_portable(const GemvTernaryRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t n = args.row == nullptr ? i : args.row[i];
    const std::uint8_t* packed = args.matrix.packed.row(n);
    std::int32_t sum = 0;
    for (std::int64_t block = 0; block < args.matrix.cols; block += 128) {
      const std::int8_t* x = args.input.codes + block;  // readable, and 0, beyond the last input
      for (int j = 0; j < 32; ++j) {
        const int byte = packed[block / 4 + j];
        sum += (byte & 3) * x[j] + (byte >> 2 & 3) * x[j + 32] + (byte >> 4 & 3) * x[j + 64] +
               (byte >> 6) * x[j + 96];
      }
    }
    args.y[n] = quant::epilogue(sum - args.input.code_sum, args.input.step, args.matrix.alpha);
  }
}

}  // namespace a48::kernels::cpu
