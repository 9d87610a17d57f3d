// What AVX-512 with VNNI reaches: 512-bit loads, vpdpbusd, and 2-bit unpacking with shifts.
#include <immintrin.h>

#include "core/kernels/ceilings.h"
#include "core/kernels/cpu/ternary_avx512.h"

namespace a48::kernels::cpu {
namespace {

typedef std::uint64_t Words __attribute__((vector_size(64)));

std::uint64_t read(const std::uint8_t* data, std::int64_t bytes) {
  Words sum[8] = {};
  for (std::int64_t i = 0; i < bytes; i += 512) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) sum[j] += Words(_mm512_loadu_si512(data + i + 64 * j));
  }
  std::uint64_t total = 0;
  for (const Words& s : sum)
    for (int j = 0; j < 8; ++j) total += s[j];
  return total;
}

constexpr int kChains = 16;

std::int64_t multiply_add(std::int64_t rounds) {
  Sums sum[kChains] = {};
  for (Sums& s : sum) asm("" : "+v"(s));  // chains that look different: equal ones would become one
  __m512i a = _mm512_set1_epi8(1), b = a;
  for (std::int64_t i = 0; i < rounds; ++i) {
    keep_in_registers(a, b);
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) sum[j] = multiply_add(sum[j], a, b);
  }
  std::int64_t total = 0;
  for (const Sums& s : sum)
    for (int j = 0; j < 16; ++j) total += s[j];
  return total;
}

std::int64_t unpack(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes) {
  // The register's halves are 128 inputs apart, and so are the codes they meet.
  const auto codes_at = [&](std::int64_t at) {
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + at))),
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + at + 128)), 1);
  };
  const __m512i mask = _mm512_set1_epi8(3);
  Sums sum[4] = {};
  for (std::int64_t b = 0; b < bytes; b += 64) {
    const __m512i v = _mm512_loadu_si512(packed + b);
    sum[0] = multiply_add(sum[0], _mm512_and_si512(v, mask), codes_at(4 * b));
    sum[1] = multiply_add(sum[1], _mm512_and_si512(_mm512_srli_epi16(v, 2), mask), codes_at(4 * b + 32));
    sum[2] = multiply_add(sum[2], _mm512_and_si512(_mm512_srli_epi16(v, 4), mask), codes_at(4 * b + 64));
    sum[3] = multiply_add(sum[3], _mm512_and_si512(_mm512_srli_epi16(v, 6), mask), codes_at(4 * b + 96));
  }
  const Sums all = sum[0] + sum[1] + sum[2] + sum[3];
  std::int64_t total = 0;
  for (int j = 0; j < 16; ++j) total += all[j];
  return total;
}

}  // namespace

const CeilingLoops ceilings_avx512 = {read, multiply_add, 64 * kChains, unpack};

}  // namespace a48::kernels::cpu
