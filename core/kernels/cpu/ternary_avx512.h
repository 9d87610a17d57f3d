// Kernel-internal: what the products with packed ternary weights share on the avx512 level.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/base/host_device.h"

namespace a48::kernels::cpu {
namespace {

// Sums are int vectors, not __m512i: g++ 12 treats the latter as eight int64 and then keeps two copies of
// each sum, in memory.
typedef std::int32_t Sums __attribute__((vector_size(64)));

/// Lane i: sums[i] + Σ over the four bytes of the lane, u8 times s8.
A48_INLINE Sums multiply_add(Sums sums, __m512i weight_codes, __m512i codes) {
  return Sums(_mm512_dpbusd_epi32(__m512i(sums), weight_codes, codes));
}

/// g++ 12 would rather load again for each use: eight 512-bit loads for 64 bytes, at one a cycle.
A48_INLINE void keep_in_registers(__m512i& a, __m512i& b) { asm("" : "+v"(a), "+v"(b)); }

}  // namespace
}  // namespace a48::kernels::cpu
