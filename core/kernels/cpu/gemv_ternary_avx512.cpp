// One token × T2_ROW4 with vpdpbusd, without shifts (kernels.md 5.3): of a register v of 64 bytes, that is 64
// inputs of four outputs, the products of v & 3, v & 15, v & 63 and v with the codes are summed in int32:
//   S0 = r0,  S1 = r0 + 4·r1,  S2 = S1 + 16·r2,  S3 = S2 + 64·r3,
// so r1 = (S1 − S0)/4 and so on, once a row. S3 may wrap; the differences are exact, since |64·r3| < 2^31.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx512.h"

namespace a48::kernels::cpu {
namespace {

/// sum[i] += the products of 64 bytes at `packed` with 64 codes, for the four masks.
A48_INLINE void add_register(Sums (&sum)[4], const std::uint8_t* packed, const std::int8_t* codes) {
  __m512i v = _mm512_loadu_si512(packed), x = _mm512_loadu_si512(codes);
  keep_in_registers(v, x);
  sum[0] = multiply_add(sum[0], _mm512_and_si512(v, _mm512_set1_epi8(3)), x);
  sum[1] = multiply_add(sum[1], _mm512_and_si512(v, _mm512_set1_epi8(15)), x);
  sum[2] = multiply_add(sum[2], _mm512_and_si512(v, _mm512_set1_epi8(63)), x);
  sum[3] = multiply_add(sum[3], v, x);
}

/// Lane i: the sum of the lanes of s[i].
A48_INLINE __m128i sum_each(const Sums (&s)[4]) {
  const auto halves = [](Sums x) {
    return _mm256_add_epi32(_mm512_castsi512_si256(__m512i(x)), _mm512_extracti64x4_epi64(__m512i(x), 1));
  };
  const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(halves(s[0]), halves(s[1])),
                                          _mm256_hadd_epi32(halves(s[2]), halves(s[3])));
  return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/// r0 … r3 of S0 … S3.
A48_INLINE __m128i separate(__m128i s) {
  return _mm_srav_epi32(_mm_sub_epi32(s, _mm_bslli_si128(s, 4)), _mm_setr_epi32(0, 2, 4, 6));
}

}  // namespace

void gemv_ternary_avx512(const GemvTernaryRow4& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;
  const std::int8_t* codes = args.input.codes;
  const __m128i code_sum = _mm_set1_epi32(args.input.code_sum);
  const __m128 scale = _mm_set1_ps(args.input.step * args.matrix.alpha);
  for (std::int64_t g = begin; g < end; ++g) {
    const std::uint8_t* packed = args.matrix.packed.row(g);
    Sums even[4] = {}, odd[4] = {};
    std::int64_t e = 0;
    for (; e + 128 <= bytes; e += 128) {
      add_register(even, packed + e, codes + e);
      add_register(odd, packed + e + 64, codes + e + 64);
    }
    if (e < bytes) add_register(even, packed + e, codes + e);
    for (int i = 0; i < 4; ++i) even[i] += odd[i];
    const __m128i sums = _mm_sub_epi32(separate(sum_each(even)), code_sum);
    const std::int64_t left = args.matrix.rows - 4 * g;
    const unsigned mask = left >= 4 ? 15u : (1u << left) - 1u;
    _mm_mask_storeu_ps(args.y + 4 * g, static_cast<__mmask8>(mask), _mm_mul_ps(_mm_cvtepi32_ps(sums), scale));
  }
}

}  // namespace a48::kernels::cpu
