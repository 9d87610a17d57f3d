// What plain C++ reaches, and the choice of the level's loops.
#include "core/kernels/ceilings.h"

#include <cstring>

namespace a48::kernels {
namespace {

std::uint64_t read(const std::uint8_t* data, std::int64_t bytes) {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < bytes; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + i, sizeof word);
    sum += word;
  }
  return sum;
}

constexpr int kProducts = 64;

std::int64_t multiply_add(std::int64_t rounds) {
  std::int32_t sum[kProducts] = {};
  std::int8_t one[kProducts];
  std::memset(one, 1, sizeof one);
  for (std::int64_t i = 0; i < rounds; ++i) {
    asm volatile("" : : "r"(one) : "memory");  // the operands might have changed
    for (int j = 0; j < kProducts; ++j) sum[j] += one[j] * one[kProducts - 1 - j];
  }
  std::int64_t total = 0;
  for (const std::int32_t s : sum) total += s;
  return total;
}

std::int64_t unpack(const std::uint8_t* packed, const std::int8_t* codes, std::int64_t bytes) {
  std::int64_t total = 0;
  for (std::int64_t b = 0; b < bytes; b += 32) {
    std::int32_t sum = 0;
    for (int j = 0; j < 32; ++j) {
      for (int k = 0; k < 4; ++k) sum += (packed[b + j] >> (2 * k) & 3) * codes[4 * b + 32 * k + j];
    }
    total += sum;
  }
  return total;
}

}  // namespace

const CeilingLoops cpu::ceilings_portable = {read, multiply_add, kProducts, unpack};

const CeilingLoops& ceiling_loops(IsaLevel level) {
#if defined(A48_HAVE_AVX512)
  if (level == IsaLevel::avx512) return cpu::ceilings_avx512;
#endif
#if defined(A48_HAVE_AVX2)
  if (level >= IsaLevel::avx2) return cpu::ceilings_avx2;
#endif
  return cpu::ceilings_portable;
}

}  // namespace a48::kernels
