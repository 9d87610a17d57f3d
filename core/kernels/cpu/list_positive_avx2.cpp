// Which rows and columns of a product take part: 32 places become the bits of a word, and its set bits
// places.
#include <immintrin.h>

#include "core/base/host_device.h"
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE std::int64_t put(std::int32_t* index, std::int64_t first, unsigned wanted) {
  std::int64_t count = 0;
  for (; wanted != 0; wanted &= wanted - 1)
    index[count++] = static_cast<std::int32_t>(first + __builtin_ctz(wanted));
  return count;
}

}  // namespace

std::int64_t list_positive_avx2(const float* x, std::int64_t n, std::int32_t* row) {
  std::int64_t count = 0, k = 0;
  for (; k + 32 <= n; k += 32) {
    unsigned wanted = 0;
    for (int i = 0; i < 4; ++i) {
      const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(x + k + 8 * i), _mm256_setzero_ps(), _CMP_GT_OQ);
      wanted |= static_cast<unsigned>(_mm256_movemask_ps(above)) << (8 * i);
    }
    count += put(row + count, k, wanted);
  }
  for (; k < n; ++k)
    if (x[k] > 0.0f) row[count++] = static_cast<std::int32_t>(k);
  return count;
}

std::int64_t list_codes_avx2(const std::int8_t* codes, std::int64_t n, std::int32_t* column) {
  std::int64_t count = 0, k = 0;
  for (; k + 32 <= n; k += 32) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + k));
    const __m256i zero = _mm256_cmpeq_epi8(x, _mm256_setzero_si256());
    count += put(column + count, k, ~static_cast<unsigned>(_mm256_movemask_epi8(zero)));
  }
  for (; k < n; ++k)
    if (codes[k] != 0) column[count++] = static_cast<std::int32_t>(k);
  return count;
}

}  // namespace a48::kernels::cpu
