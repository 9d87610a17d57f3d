// 4-bit codes <-> bytes, and codes as floats, in AVX2: 32 codes are 16 bytes. The words: core/quant/pack.h;
// tails: its functions.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

using quant::CodeKind;

constexpr auto kRows = quant::kSchemes;  // a copy of this file's own: no symbol shared with other files
const quant::SchemeRow& scheme_row(quant::Scheme scheme) { return kRows[static_cast<std::size_t>(scheme)]; }

// Both halves of a register hold the table, since a byte shuffle looks up within halves.
__m256i both_halves(const std::int8_t (&table)[16]) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}

// The code of each nibble.
__m256i code_table(CodeKind kind) {
  std::int8_t table[16];
  for (int nibble = 0; nibble < 16; ++nibble)
    table[nibble] = static_cast<std::int8_t>(quant::code_of_nibble(kind, static_cast<std::uint8_t>(nibble)));
  return both_halves(table);
}

// The nibble of each magnitude of a non-negative FP4 code.
__m256i grid_index_table() {
  std::int8_t table[16];
  for (int code = 0; code < 16; ++code)
    table[code] = static_cast<std::int8_t>(quant::nibble_of(CodeKind::fp4_grid, code));
  return both_halves(table);
}

A48_INLINE __m128i pack32(CodeKind kind, __m256i codes, __m256i grid_index) {
  __m256i nibbles;
  if (kind == CodeKind::fp4_grid) {
    const __m256i sign = _mm256_and_si256(codes, _mm256_set1_epi8(-128));
    const __m256i sign_bit = _mm256_and_si256(_mm256_srli_epi16(sign, 4), _mm256_set1_epi8(8));
    nibbles = _mm256_or_si256(_mm256_shuffle_epi8(grid_index, _mm256_abs_epi8(codes)), sign_bit);
  } else {
    nibbles = _mm256_and_si256(codes, _mm256_set1_epi8(15));
  }
  const __m256i pairs = _mm256_maddubs_epi16(nibbles, _mm256_set1_epi16(0x1001));  // even + 16·odd
  return _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

A48_INLINE __m256i unpack32(__m128i packed, __m256i table) {
  const __m128i low = _mm_and_si128(packed, _mm_set1_epi8(15));
  const __m128i high = _mm_and_si128(_mm_srli_epi16(packed, 4), _mm_set1_epi8(15));
  const __m256i nibbles = _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
  return _mm256_shuffle_epi8(table, nibbles);
}

A48_INLINE int code_at(CodeKind kind, const std::uint8_t* packed, std::int64_t k) {
  return quant::code_of_nibble(kind, static_cast<std::uint8_t>((packed[k / 2] >> (k % 2 * 4)) & 15));
}

A48_INLINE void store_as_floats(float* q, __m128i codes) {  // 16 codes
  _mm256_storeu_ps(q, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)));
  _mm256_storeu_ps(q + 8, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8))));
}

}  // namespace

void pack4_rows_avx2(const Pack4Rows& args, std::int64_t begin, std::int64_t end) {
  const CodeKind kind = scheme_row(args.scheme).kind;
  const __m256i grid_index = grid_index_table();
  const std::int64_t width = args.codes.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int8_t* codes = args.codes.row(r);
    std::uint8_t* packed = args.packed.row(r);
    std::int64_t k = 0;
    for (; k + 32 <= width; k += 32) {
      const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + k));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + k / 2), pack32(kind, block, grid_index));
    }
    for (; k < width; k += 2)
      packed[k / 2] = quant::pack_pair(kind, codes[k], k + 1 < width ? codes[k + 1] : 0);
  }
}

void unpack4_rows_avx2(const Unpack4Rows& args, std::int64_t begin, std::int64_t end) {
  const CodeKind kind = scheme_row(args.scheme).kind;
  const __m256i table = code_table(kind);
  for (std::int64_t r = begin; r < end; ++r) {
    const std::uint8_t* packed = args.packed.row(r);
    std::int8_t* codes = args.codes.row(r);
    std::int64_t k = 0;
    for (; k + 32 <= args.codes.cols; k += 32) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + k / 2));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + k), unpack32(block, table));
    }
    for (; k < args.codes.cols; ++k) codes[k] = static_cast<std::int8_t>(code_at(kind, packed, k));
  }
}

void codes_to_float_avx2(const CodesToFloat& args, std::int64_t begin, std::int64_t end) {
  const quant::SchemeRow& scheme = scheme_row(args.scheme);
  const __m256i table = code_table(scheme.kind);
  const std::int64_t width = args.q.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    float* q = args.q.row(r);
    std::int64_t k = 0;
    if (scheme.storage_bits == 4) {
      const std::uint8_t* packed = args.packed.row(r);
      for (; k + 32 <= width; k += 32) {
        const __m256i codes =
            unpack32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + k / 2)), table);
        store_as_floats(q + k, _mm256_castsi256_si128(codes));
        store_as_floats(q + k + 16, _mm256_extracti128_si256(codes, 1));
      }
      for (; k < width; ++k) q[k] = static_cast<float>(code_at(scheme.kind, packed, k));
    } else {
      const std::int8_t* codes = args.codes.row(r);
      for (; k + 16 <= width; k += 16)
        store_as_floats(q + k, _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + k)));
      for (; k < width; ++k) q[k] = static_cast<float>(codes[k]);
    }
  }
}

}  // namespace a48::kernels::cpu
