// What AVX2 reaches: 256-bit loads, maddubs + paddw, and the order of 2-bit unpacking that other engines use.
#include <immintrin.h>

#include "core/base/host_device.h"
#include "core/kernels/ceilings.h"

namespace a48::kernels::cpu {
namespace {

typedef std::int16_t Sums __attribute__((vector_size(32)));

A48_INLINE __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

A48_INLINE std::uint64_t sum_of_words(__m256i x) {
  const __m128i s = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(s)) +
         static_cast<std::uint64_t>(_mm_extract_epi64(s, 1));
}

A48_INLINE std::int64_t sum_of(Sums x) {
  const __m256i pairs = _mm256_madd_epi16(__m256i(x), _mm256_set1_epi16(1));
  const __m128i s = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  return std::int64_t{_mm_extract_epi32(s, 0)} + _mm_extract_epi32(s, 1) + _mm_extract_epi32(s, 2) +
         _mm_extract_epi32(s, 3);
}

std::uint64_t read(const std::uint8_t* data, std::int64_t bytes) {
  __m256i sum[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) sum[j] = _mm256_add_epi64(sum[j], load(data + i + 32 * j));
  }
  for (int j = 1; j < 8; ++j) sum[0] = _mm256_add_epi64(sum[0], sum[j]);
  return sum_of_words(sum[0]);
}

constexpr int kChains = 12;

// Pieces of 1024 rounds keep the int16 sums, 2 a round, in range.
std::int64_t multiply_add(std::int64_t rounds) {
  std::int64_t total = 0;
  for (std::int64_t done = 0; done < rounds; done += 1024) {
    const std::int64_t piece = rounds - done < 1024 ? rounds - done : 1024;
    Sums sum[kChains] = {};
    __m256i a = _mm256_set1_epi8(1), b = a;
    for (std::int64_t i = 0; i < piece; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < kChains; ++j) {
        asm("" : "+x"(a), "+x"(b));  // or one product would serve all chains
        sum[j] += Sums(_mm256_maddubs_epi16(a, b));
      }
    }
    for (const Sums& s : sum) total += sum_of(s);
  }
  return total;
}

std::int64_t unpack(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes) {
  const __m256i mask = _mm256_set1_epi8(3);
  std::int64_t total = 0;
  for (std::int64_t b0 = 0; b0 < bytes; b0 += 32 * 16) {  // 64 additions of at most 508
    const std::int64_t b1 = b0 + 32 * 16 < bytes ? b0 + 32 * 16 : bytes;
    Sums sum[4] = {};
    for (std::int64_t b = b0; b < b1; b += 32) {
      const __m256i v = load(packed + b);
      const std::int8_t* x = codes + 4 * b;
      sum[0] += Sums(_mm256_maddubs_epi16(_mm256_and_si256(v, mask), load(x)));
      sum[1] += Sums(_mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 2), mask), load(x + 32)));
      sum[2] += Sums(_mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 4), mask), load(x + 64)));
      sum[3] += Sums(_mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 6), mask), load(x + 96)));
    }
    for (const Sums& s : sum) total += sum_of(s);
  }
  return total;
}

}  // namespace

const CeilingLoops ceilings_avx2 = {read, multiply_add, 32 * kChains, unpack};

}  // namespace a48::kernels::cpu
