// One token × listed T2_ROW rows with vpdpbusd, without shifts: of 32 bytes, that is 128 inputs of a row, the
// bits & 0x03, 0x0c, 0x30 and 0xc0 are multiplied with the codes of inputs 0, 32, 64 and 96 on. Sums of the
// four masks are multiples of 1, 4, 16 and 64, lane by lane. Two rows share a register, so that a load of
// codes serves both.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx512.h"

namespace a48::kernels::cpu {
namespace {

/// Listed rows ahead whose bytes are fetched: a short row is read before the hardware has seen a stream.
constexpr std::int64_t kPrefetchRows = 8;

A48_INLINE __m512i both_halves(const std::int8_t* codes) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
}

/// sum[i] += the products of mask i: 32 bytes of each of two rows with 128 codes.
A48_INLINE void add_block(Sums (&sum)[4], const std::uint8_t* first, const std::uint8_t* second,
                          const std::int8_t* codes) {
  __m512i v = _mm512_inserti64x4(
      _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first))),
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)), 1);
  sum[0] = multiply_add(sum[0], _mm512_and_si512(v, _mm512_set1_epi8(0x03)), both_halves(codes));
  sum[1] = multiply_add(sum[1], _mm512_and_si512(v, _mm512_set1_epi8(0x0c)), both_halves(codes + 32));
  sum[2] = multiply_add(sum[2], _mm512_and_si512(v, _mm512_set1_epi8(0x30)), both_halves(codes + 64));
  sum[3] = multiply_add(sum[3], _mm512_and_si512(v, _mm512_set1_epi8(-0x40)), both_halves(codes + 96));
}

A48_INLINE std::int32_t sum_of(__m256i x) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

}  // namespace

void gemv_ternary_rows_avx512(const GemvTernaryRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t bytes = args.matrix.packed.cols;  // a multiple of 64
  const std::int8_t* codes = args.input.codes;
  const float scale = args.input.step * args.matrix.alpha;
  const auto row_at = [&](std::int64_t i) { return args.row == nullptr ? i : std::int64_t{args.row[i]}; };
  for (std::int64_t i = begin; i < end; i += 2) {
    const std::int64_t rows[2] = {row_at(i), row_at(i + 1 < end ? i + 1 : i)};
    const std::uint8_t* packed[2] = {args.matrix.packed.row(rows[0]), args.matrix.packed.row(rows[1])};
    const auto ahead = [&](std::int64_t j) { return args.matrix.packed.row(row_at(j < end ? j : end - 1)); };
    const std::uint8_t* next[2] = {ahead(i + kPrefetchRows), ahead(i + kPrefetchRows + 1)};
    Sums even[4] = {}, odd[4] = {};
    for (std::int64_t b = 0; b < bytes; b += 64) {
      _mm_prefetch(next[0] + b, _MM_HINT_T0);
      _mm_prefetch(next[1] + b, _MM_HINT_T0);
      add_block(even, packed[0] + b, packed[1] + b, codes + 4 * b);
      add_block(odd, packed[0] + b + 32, packed[1] + b + 32, codes + 4 * b + 128);
    }
    for (int m = 0; m < 4; ++m) even[m] += odd[m];
    const __m512i sums = __m512i(even[0] + (even[1] >> 2) + (even[2] >> 4) + (even[3] >> 6));
    const std::int32_t total[2] = {sum_of(_mm512_castsi512_si256(sums)),
                                   sum_of(_mm512_extracti64x4_epi64(sums, 1))};
    for (int r = 0; r < 2; ++r)
      args.y[rows[r]] = static_cast<float>(total[r] - args.input.code_sum) * scale;
  }
}

}  // namespace a48::kernels::cpu
