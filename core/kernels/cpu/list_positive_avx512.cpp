// Which rows and columns of a product take part: 16 places at a time, those wanted moved together.
#include <immintrin.h>

#include "core/base/host_device.h"
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {
namespace {

/// The places first + i whose bit i of `wanted` is set; returns how many.
A48_INLINE std::int64_t put(std::int32_t* index, std::int64_t first, unsigned wanted, bool whole) {
  const __m512i places =
      _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)),
                       _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i together = _mm512_maskz_compress_epi32(static_cast<__mmask16>(wanted), places);
  const int count = __builtin_popcount(wanted);
  if (whole) {
    _mm512_storeu_si512(index, together);  // no further than place first + 16 of the list
  } else {
    _mm512_mask_storeu_epi32(index, static_cast<__mmask16>((1u << count) - 1u), together);
  }
  return count;
}

}  // namespace

std::int64_t list_positive_avx512(const float* x, std::int64_t n, std::int32_t* row) {
  std::int64_t count = 0, k = 0;
  for (; k + 16 <= n; k += 16) {
    const unsigned wanted = _mm512_cmp_ps_mask(_mm512_loadu_ps(x + k), _mm512_setzero_ps(), _CMP_GT_OQ);
    count += put(row + count, k, wanted, true);
  }
  if (k < n) {
    const __m512 rest = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << (n - k)) - 1u), x + k);
    count += put(row + count, k, _mm512_cmp_ps_mask(rest, _mm512_setzero_ps(), _CMP_GT_OQ), false);
  }
  return count;
}

std::int64_t list_codes_avx512(const std::int8_t* codes, std::int64_t n, std::int32_t* column) {
  std::int64_t count = 0, k = 0;
  for (; k + 16 <= n; k += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k));
    count += put(column + count, k, _mm_test_epi8_mask(x, x), true);
  }
  if (k < n) {
    const __m128i rest = _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << (n - k)) - 1u), codes + k);
    count += put(column + count, k, _mm_test_epi8_mask(rest, rest), false);
  }
  return count;
}

}  // namespace a48::kernels::cpu
