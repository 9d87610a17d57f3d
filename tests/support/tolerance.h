// Tolerances of the tests, each a function with its derivation; no test body holds a literal of its own.
// Codes, packed bytes, integer products and whole models on CPU are compared for equality, not here.
//
// Notation: u = 2^-24, the unit roundoff of fp32 (relative error of one rounded operation); a sum of n
// products in any order of additions differs from the exact one by at most gamma(n) * sum |a_i b_i| with
// gamma(n) = n u / (1 - n u) (each product passes one multiplication and at most n - 1 additions).
#pragma once

#include <cmath>
#include <cstdint>

namespace a48::test {

inline constexpr double kUnitRoundoff = 0x1p-24;  // fp32, round to nearest
// bf16 keeps 8 significant bits: one ulp is at most 2^-7 of the value, rounding to nearest errs by half of
// it.
inline constexpr double kUnitRoundoffBf16 = 0x1p-8;

/// fp32 sum of `n` products against the exact value, given sum |a_i b_i|. With `bf16_operands` both
/// operands were rounded to bf16 first, which adds one relative error each.
inline double dot_tolerance(std::int64_t n, double sum_of_magnitudes, bool bf16_operands = false) {
  const double relative =
      static_cast<double>(n) * kUnitRoundoff + (bf16_operands ? 2 * kUnitRoundoffBf16 : 0.0);
  return relative * sum_of_magnitudes;
}

/// gemm_bf16 over `n` inputs against the exact product of the operands after their rounding to bf16, given
/// |scale| · sum |a_i b_i| + |c|. Products of two bf16 are exact in fp32 (16 significant bits); each of the n
/// additions rounds once, and each block of inputs once more when it is scaled and once when it is added.
inline double bf16_product_tolerance(std::int64_t n, std::int64_t block, double magnitude) {
  const double roundings = static_cast<double>(n + 2 * ((n + block - 1) / block));
  return roundings * kUnitRoundoff * (1.0 + roundings * kUnitRoundoff) * magnitude;
}

/// A sum of n products whose second operands are codes of up to 1, where an operand, each of the n sums and
/// the result may be taken for 0 when they are below 2^-126, or lose bits below 2^-149 or, as bf16, 2^-133.
inline double flushed_tolerance(std::int64_t n) { return static_cast<double>(2 * n + 1) * 0x1p-126; }

/// fp32 result of a chain of `operations` correctly rounded operations on positive terms or a single path
/// of multiplications, divisions and square roots: (1 + u)^k - 1 <= k u (1 + k u).
inline double chain_tolerance(std::int64_t operations, double magnitude) {
  const double k_u = static_cast<double>(operations) * kUnitRoundoff;
  return k_u * (1.0 + k_u) * std::abs(magnitude);
}

/// fp32 softmax(s)·v over n positions against the exact one, given the largest error of a score, the largest
/// distance of a score from the maximum, and magnitude = sum |p_t v_t|. The factor e^(s_t - m) is off by:
/// twice the score error; the rounding of s_t - m (spread u); 2 ulp = 4u of exp, once more for the weight of
/// its chunk. That holds for numerator and denominator alike, hence the 2; the sum of products adds n u, and
/// chunk sum, reciprocal and the last products a few u more.
inline double attention_tolerance(std::int64_t n, double score_error, double spread, double magnitude) {
  const double of_factor = std::expm1(2 * score_error + (2 * spread + 2 * 4) * kUnitRoundoff);
  return (2 * of_factor + static_cast<double>(n + 8) * kUnitRoundoff) * magnitude;
}

/// The distance to the next fp32 number above |value|: "within n ulp" is n times this.
inline double ulp(float value) {
  const float magnitude = std::abs(value);
  return static_cast<double>(std::nextafter(magnitude, INFINITY)) - static_cast<double>(magnitude);
}

/// Statistics of Gaussian rows: the tolerances that numerics.md 9 states in checks 2 and 9 for 10^6 values or
/// more (a share p of n values scatters by sqrt(p (1 - p) / n): 0.033 % for 12 % of 10^6).
inline constexpr double kInt4Zeros = 0.001, kInt4Clipped = 0.0005, kInt4Gain = 0.005, kInt4Error = 0.002;
inline constexpr double kInt8Error = 0.01;
inline constexpr double kTernaryZeros = 0.002;

/// Relative rms error of mapping A on Gaussian heads against the figures of numerics.md 5.2, as check 27
/// states it, and a code's distance from its value: half a step, and fp16's rounding of γ.
inline constexpr double kCacheGaussianError = 0.005;
inline double cache_code_tolerance(double gamma, int max_code) { return gamma / max_code * (1 + 0x1p-9); }

/// Integer attention against decode-then-dot, relative L2 (numerics.md 9, check 29).
inline constexpr double kIntegerAttention = 1e-5;

/// Scores of rotated vectors at equal distances, relative to the size of the products (numerics.md 9, check
/// 19).
inline constexpr double kRopeScore = 1e-5;

/// A log-probability over `n` logits in fp64, summed in any order: n + 8 roundings (exp, sum, log,
/// subtraction), each at most 2^-53 of what it rounds.
inline double log_softmax_tolerance(std::int64_t n, double value) {
  return static_cast<double>(n + 8) * 0x1p-53 * (1.0 + std::abs(value));
}

/// A central difference (f(x+h) - f(x-h)) / 2h in double against the exact derivative: truncation
/// h^2 |f'''| / 6 plus rounding eps |f| / h. Best at h = cbrt(eps), where both are near eps^(2/3); `scale`
/// bounds |f| and |f'''| together.
inline constexpr double kDifferenceStep = 6.0554544523933429e-6;  // cbrt(2^-52)
inline double difference_tolerance(double scale) {
  return 2.0 * kDifferenceStep * kDifferenceStep * std::abs(scale);
}

}  // namespace a48::test
