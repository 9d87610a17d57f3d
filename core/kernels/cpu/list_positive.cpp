// Which rows and columns of a product take part, in plain C++. The same in instructions:
// list_positive_avx512.cpp.
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {

// Every index is written; the count moves on where it stays.
std::int64_t list_positive_portable(const float* x, std::int64_t n, std::int32_t* row) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    row[count] = static_cast<std::int32_t>(k);
    count += x[k] > 0.0f;
  }
  return count;
}

std::int64_t list_codes_portable(const std::int8_t* codes, std::int64_t n, std::int32_t* column) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    column[count] = static_cast<std::int32_t>(k);
    count += codes[k] != 0;
  }
  return count;
}

}  // namespace a48::kernels::cpu
