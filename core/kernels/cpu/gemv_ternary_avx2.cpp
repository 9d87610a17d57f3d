// One token × T2_ROW4 with maddubs (kernels.md 5.3). 4-bit codes need no shifts: of a register v of 32 bytes,
// that is 32 inputs of four outputs, the products of v & 3, v & 15, v & 63 and v are summed:
//   S0 = r0,  S1 = r0 + 4·r1,  S2 = S1 + 16·r2,  S3 = S2 + 64·r3,
// so r1 = (S1 − S0)/4 and so on, once a row. INT8 codes would saturate a product with v, so their bit pairs
// are moved down. The layout: core/quant/pack.h.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/ternary_avx2.h"
#include "core/quant/scheme.h"

namespace a48::kernels::cpu {
namespace {

// With t <= 1 the code of a bit pair is at most 2: v & 3 is at most 2, v & 15 at most 10, 42, 170.
constexpr int kInt4 = quant::row_of(quant::Scheme::int4).max_magnitude;
constexpr int kFp4 = quant::row_of(quant::Scheme::fp4).max_magnitude;
constexpr int kInt8 = quant::row_of(quant::Scheme::int8).max_magnitude;
constexpr int kWholeByte = 170, kSixBits = 42;
static_assert(additions_before_widening(kWholeByte, kInt4) == 12);
static_assert(additions_before_widening(kWholeByte, kFp4) == 8);
static_assert(additions_before_widening(kSixBits, kInt4) >= 4 * 12);
static_assert(additions_before_widening(kSixBits, kFp4) >= 4 * 8);
static_assert(additions_before_widening(2, kInt8) == 64);

/// S0 … S3 of a stored row. S3 is widened after kAdditions registers, the others after four times as many.
template <int kAdditions>
A48_INLINE void sum_without_shifts(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes,
                                   __m256i (&sum)[4]) {
  constexpr std::int64_t kPiece = 32 * kAdditions;
  for (std::int64_t e0 = 0; e0 < bytes; e0 += 4 * kPiece) {
    Sums s0{}, s1{}, s2{};
    const std::int64_t e1 = bytes - e0 < 4 * kPiece ? bytes : e0 + 4 * kPiece;
    for (std::int64_t e = e0; e < e1;) {
      Sums s3{};
      for (const std::int64_t end = e1 - e < kPiece ? e1 : e + kPiece; e < end; e += 32) {
        __m256i v = load(packed + e), x = load(codes + e);
        asm("" : "+x"(v), "+x"(x));  // loaded once, not again for each use
        s0 = multiply_add(s0, _mm256_and_si256(v, _mm256_set1_epi8(3)), x);
        s1 = multiply_add(s1, _mm256_and_si256(v, _mm256_set1_epi8(15)), x);
        s2 = multiply_add(s2, _mm256_and_si256(v, _mm256_set1_epi8(63)), x);
        s3 = multiply_add(s3, v, x);
      }
      sum[3] = _mm256_add_epi32(sum[3], widen(s3));
    }
    sum[0] = _mm256_add_epi32(sum[0], widen(s0));
    sum[1] = _mm256_add_epi32(sum[1], widen(s1));
    sum[2] = _mm256_add_epi32(sum[2], widen(s2));
  }
}

/// r0 … r3 of S0 … S3.
A48_INLINE __m128i separate(__m128i s) {
  return _mm_srav_epi32(_mm_sub_epi32(s, _mm_bslli_si128(s, 4)), _mm_setr_epi32(0, 2, 4, 6));
}

/// r0 … r3 of a stored row.
A48_INLINE void sum_with_shifts(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes,
                                __m256i (&sum)[4]) {
  constexpr std::int64_t kPiece = 32 * additions_before_widening(2, kInt8);
  for (std::int64_t e0 = 0; e0 < bytes; e0 += kPiece) {
    Sums s[4] = {};
    const std::int64_t e1 = bytes - e0 < kPiece ? bytes : e0 + kPiece;
    for (std::int64_t e = e0; e < e1; e += 32) {
      __m256i v = load(packed + e), x = load(codes + e);
      asm("" : "+x"(v), "+x"(x));
      s[0] = multiply_add(s[0], bit_pair<0>(v), x);
      s[1] = multiply_add(s[1], bit_pair<1>(v), x);
      s[2] = multiply_add(s[2], bit_pair<2>(v), x);
      s[3] = multiply_add(s[3], bit_pair<3>(v), x);
    }
    for (int j = 0; j < 4; ++j) sum[j] = _mm256_add_epi32(sum[j], widen(s[j]));
  }
}

/// y of four outputs from their sums.
A48_INLINE void store(const GemvTernaryRow4& args, std::int64_t g, __m128i sums) {
  const __m128i products = _mm_sub_epi32(sums, _mm_set1_epi32(args.input.code_sum));
  const __m128 y = _mm_mul_ps(_mm_cvtepi32_ps(products), _mm_set1_ps(args.input.step * args.matrix.alpha));
  const std::int64_t left = args.matrix.rows - 4 * g;
  if (left >= 4) {
    _mm_storeu_ps(args.y + 4 * g, y);
  } else {
    const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(left)), _mm_setr_epi32(0, 1, 2, 3));
    _mm_maskstore_ps(args.y + 4 * g, mask, y);
  }
}

template <int kAdditions>
void multiply_4bit(const GemvTernaryRow4& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t g = begin; g < end; ++g) {
    __m256i sum[4] = {};
    sum_without_shifts<kAdditions>(args.matrix.packed.row(g), args.input.codes, args.matrix.packed.cols, sum);
    store(args, g, separate(sum_each(sum)));
  }
}

}  // namespace

void gemv_ternary_avx2(const GemvTernaryRow4& args, std::int64_t begin, std::int64_t end) {
  if (args.input.max_magnitude <= kInt4) return multiply_4bit<12>(args, begin, end);
  if (args.input.max_magnitude <= kFp4) return multiply_4bit<8>(args, begin, end);
  for (std::int64_t g = begin; g < end; ++g) {
    __m256i sum[4] = {};
    sum_with_shifts(args.matrix.packed.row(g), args.input.codes, args.matrix.packed.cols, sum);
    store(args, g, sum_each(sum));
  }
}

}  // namespace a48::kernels::cpu
