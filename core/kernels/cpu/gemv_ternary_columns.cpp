// The sums of listed T2_COL columns in plain C++: 32 bytes hold 128 outputs of an input. The same in
// instructions: gemv_ternary_columns_avx2.cpp, gemv_ternary_columns_avx512.cpp. Layout: core/quant/pack.h.
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {

void gemv_ternary_columns_portable(const TernaryColumnSums& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;
  for (std::int64_t n = 0; n < 4 * bytes; ++n) args.sums[n] = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t k = args.column[i];
    const std::uint8_t* packed = args.matrix.packed.row(k);
    const int code = args.input.codes[k];
    for (std::int64_t block = 0; block < bytes; block += 32) {
      std::int32_t* sums = args.sums + 4 * block;
      for (int j = 0; j < 32; ++j) {
        const int byte = packed[block + j];
        sums[j] += (byte & 3) * code;
        sums[j + 32] += (byte >> 2 & 3) * code;
        sums[j + 64] += (byte >> 4 & 3) * code;
        sums[j + 96] += (byte >> 6) * code;
      }
    }
  }
}

}  // namespace a48::kernels::cpu
