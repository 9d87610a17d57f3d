// The bf16 product with vdpbf16ps: 32 multiply-adds an instruction, two neighbouring inputs for each of 16
// outputs. A block of 8 rows × 48 outputs holds 24 sums, 3 registers of the panel and one broadcast pair in
// registers; each panel register serves 8 products, each broadcast 3. The instruction adds the later input of
// a pair, then the earlier one, rounds to nearest even after each and takes numbers below 2^-126 for 0.
#include <immintrin.h>

#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/gemm_bf16.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kLanes = 16;
constexpr int kRows = int{kBf16Rows};
constexpr int kRegisters = int{kBf16Outputs} / kLanes;

/// The first `count` lanes.
A48_INLINE __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1u);
}

A48_INLINE __m512i rounded(__m512 x) { return _mm512_cvtepu16_epi32(__m256i(_mm512_cvtneps_pbh(x))); }

/// Words of pairs: `earlier` in the low halves.
A48_INLINE __m512i pairs_of_floats(__m512 earlier, __m512 later) {
  return _mm512_or_si512(rounded(earlier), _mm512_slli_epi32(rounded(later), 16));
}

/// Codes of up to 128 are bf16 already: the upper half of an fp32.
A48_INLINE __m512i pairs_of_codes(__m128i earlier, __m128i later) {
  const __m512i low = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(earlier)));
  const __m512i high = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(later)));
  return _mm512_or_si512(_mm512_srli_epi32(low, 16), high);
}

/// 8 rows of 8 words to 8 columns.
A48_INLINE void transpose(__m256i (&x)[8]) {
  __m256i t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    x[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    x[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    x[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    x[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x20);
    t[i + 4] = _mm256_permute2x128_si256(x[i], x[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) x[i] = t[i];
}

/// 8 rows of a [M, I], 16 inputs = 8 pairs at a time.
void pack_block(Rows<const float> a, InputRange inputs, std::int64_t block, std::uint32_t* words) {
  const std::int64_t row = block * kRows;
  for (std::int64_t k = inputs.begin; k < inputs.end; k += 2 * kRows) {
    const __mmask16 mask = first_lanes(inputs.end - k);
    __m256i pairs[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512 x =
          row + i < a.rows ? _mm512_maskz_loadu_ps(mask, a.row(row + i) + k) : _mm512_setzero_ps();
      pairs[i] = __m256i(_mm512_cvtneps_pbh(x));
    }
    transpose(pairs);
    std::uint32_t* to = words + (k - inputs.begin) / 2 * kRows;
    const std::int64_t left = (inputs.end - k + 1) / 2;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
      if (i < left) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kRows), pairs[i]);
  }
}

/// The blocks [begin, end) of aᵀ, a [I, M]: two blocks, 16 columns of a, at a time.
void pack_columns(const GemmBf16& args, InputRange inputs, std::int64_t begin, std::int64_t end,
                  std::uint32_t* words) {
  const std::int64_t block_words = kRows * inputs.pairs();
  for (std::int64_t k = inputs.begin; k < inputs.end; k += 2) {
    const float* earlier = args.a.row(k);
    const bool both = k + 1 < inputs.end;
    const float* later = both ? args.a.row(k + 1) : earlier;
    const __m512 s0 = _mm512_set1_ps(args.a_scale != nullptr ? args.a_scale[k] : 1.0f);
    const __m512 s1 = _mm512_set1_ps(args.a_scale != nullptr && both ? args.a_scale[k + 1] : 1.0f);
    std::uint32_t* to = words + (k - inputs.begin) / 2 * kRows;
    for (std::int64_t b = begin; b < end; b += 2, to += 2 * block_words) {
      const __mmask16 mask = first_lanes(args.a.cols - b * kRows);
      const __m512 x0 = _mm512_maskz_loadu_ps(mask, earlier + b * kRows);
      const __m512 x1 = _mm512_maskz_loadu_ps(both ? mask : __mmask16{0}, later + b * kRows);
      const __m512i pairs = pairs_of_floats(_mm512_mul_ps(x0, s0), _mm512_mul_ps(x1, s1));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(pairs));
      if (b + 1 < end)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + block_words),
                            _mm512_extracti64x4_epi64(pairs, 1));
    }
  }
}

void pack_rows(const GemmBf16& args, InputRange inputs, std::int64_t begin, std::int64_t end,
               std::uint32_t* words) {
  if (args.a_transposed) return pack_columns(args, inputs, begin, end, words);
  for (std::int64_t b = begin; b < end; ++b)
    pack_block(args.a, inputs, b, words + (b - begin) * kRows * inputs.pairs());
}

/// pairs(k, j, lanes): outputs j … j + 15 of the inputs k and k + 1 (k + 1 may be past the end).
template <typename Pairs>
A48_INLINE void pack_panel(std::int64_t outputs, InputRange inputs, std::int64_t panel, std::uint32_t* words,
                           Pairs pairs) {
  const std::int64_t begin = panel * kBf16Outputs;
  for (std::int64_t k = inputs.begin; k < inputs.end; k += 2) {
#pragma GCC unroll 3
    for (int j = 0; j < kRegisters; ++j) {
      const std::int64_t n = begin + j * kLanes;
      const __mmask16 mask = first_lanes(outputs - n);
      _mm512_store_si512(words + j * kLanes, mask == 0 ? _mm512_setzero_si512() : pairs(k, n, mask));
    }
    words += kBf16Outputs;
  }
}

/// The code of each nibble, in every 16 bytes.
A48_INLINE __m128i nibble_table(quant::CodeKind kind) {
  alignas(16) std::int8_t code[16];
  for (int i = 0; i < 16; ++i)
    code[i] = static_cast<std::int8_t>(quant::code_of_nibble(kind, static_cast<std::uint8_t>(i)));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(code));
}

/// 16 codes of 8 bytes; only those of `mask` are read.
A48_INLINE __m128i unpack(const std::uint8_t* packed, __mmask16 mask, __m128i table) {
  const auto bytes = static_cast<__mmask16>(_pext_u32(mask, 0x5555u));
  const __m128i words = _mm_cvtepu8_epi16(_mm_maskz_loadu_epi8(bytes, packed));
  const __m128i nibbles = _mm_and_si128(_mm_or_si128(words, _mm_slli_epi16(words, 4)), _mm_set1_epi8(15));
  return _mm_shuffle_epi8(table, nibbles);
}

void pack_outputs(const GemmBf16& args, InputRange inputs, std::int64_t panel, std::uint32_t* words) {
  const std::int64_t outputs = args.c.cols;
  const auto later_mask = [&](std::int64_t k, __mmask16 mask) __attribute__((always_inline)) {
    return k + 1 < inputs.end ? mask : __mmask16{0};
  };
  if (args.b_packed.data != nullptr) {
    // The scheme table is no constant here, and may not be read from a file of one level.
    constexpr quant::CodeKind kInt4 = quant::row_of(quant::Scheme::int4).kind;
    constexpr quant::CodeKind kFp4 = quant::row_of(quant::Scheme::fp4).kind;
    const __m128i table = nibble_table(args.scheme == quant::Scheme::fp4 ? kFp4 : kInt4);
    pack_panel(outputs, inputs, panel, words, [&](std::int64_t k, std::int64_t n, __mmask16 mask) {
      const std::uint8_t* row = args.b_packed.row(k) + n / 2;
      const __mmask16 later = later_mask(k, mask);
      return pairs_of_codes(unpack(row, mask, table),
                            unpack(later != 0 ? row + args.b_packed.stride : row, later, table));
    });
  } else if (args.b_codes.data != nullptr) {
    pack_panel(outputs, inputs, panel, words, [&](std::int64_t k, std::int64_t n, __mmask16 mask) {
      const std::int8_t* row = args.b_codes.row(k) + n;
      return pairs_of_codes(_mm_maskz_loadu_epi8(mask, row),
                            _mm_maskz_loadu_epi8(later_mask(k, mask), row + args.b_codes.stride));
    });
  } else {
    pack_panel(outputs, inputs, panel, words, [&](std::int64_t k, std::int64_t n, __mmask16 mask) {
      const float* row = args.b.row(k) + n;
      return pairs_of_floats(_mm512_maskz_loadu_ps(mask, row),
                             _mm512_maskz_loadu_ps(later_mask(k, mask), row + args.b.stride));
    });
  }
}

A48_INLINE __m512 multiply_add(__m512 sum, __m512i pair, __m512i outputs) {
  return _mm512_dpbf16_ps(sum, __m512bh(pair), __m512bh(outputs));
}

A48_INLINE void multiply_block(const GemmBf16& args, std::int64_t pairs, const std::uint32_t* rows,
                               std::int64_t row, const std::uint32_t* outputs, std::int64_t output,
                               bool accumulate) {
  const std::int64_t count = args.c.rows - row < kRows ? args.c.rows - row : kRows;
  for (std::int64_t i = 0; i < count; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < kRegisters; ++j) __builtin_prefetch(args.c.row(row + i) + output + j * kLanes, 1);
  __m512 acc[kRows][kRegisters] = {};
  for (std::int64_t p = 0; p < pairs; ++p) {
    __m512i panel[kRegisters];
#pragma GCC unroll 3
    for (int j = 0; j < kRegisters; ++j)
      panel[j] = _mm512_load_si512(outputs + p * kBf16Outputs + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512i pair = _mm512_set1_epi32(static_cast<int>(rows[p * kRows + i]));
#pragma GCC unroll 3
      for (int j = 0; j < kRegisters; ++j) acc[i][j] = multiply_add(acc[i][j], pair, panel[j]);
    }
  }
  const __m512 scale = _mm512_set1_ps(args.scale);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    if (i >= count) break;
    float* c = args.c.row(row + i) + output;
#pragma GCC unroll 3
    for (int j = 0; j < kRegisters; ++j) {
      const __mmask16 mask = first_lanes(args.c.cols - output - j * kLanes);
      const __m512 scaled = _mm512_mul_ps(acc[i][j], scale);
      const __m512 before = accumulate ? _mm512_maskz_loadu_ps(mask, c + j * kLanes) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(c + j * kLanes, mask, accumulate ? _mm512_add_ps(before, scaled) : scaled);
    }
  }
}

void multiply(const GemmBf16& args, std::int64_t pairs, const std::uint32_t* rows, std::int64_t begin,
              std::int64_t end, const std::uint32_t* outputs, std::int64_t panel, bool accumulate) {
  for (std::int64_t b = begin; b < end; ++b)
    multiply_block(args, pairs, rows + (b - begin) * kRows * pairs, b * kRows, outputs, panel * kBf16Outputs,
                   accumulate);
}

}  // namespace

const GemmBf16Kernel gemm_bf16_avx512_bf16 = {pack_rows, pack_outputs, multiply};

}  // namespace a48::kernels::cpu
