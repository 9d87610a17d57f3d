// The definition of every row operation, in obvious loops over rows that call only math.h, topk.h, pack.h and
// base/fmath.h: the oracle of each kernel test and the `reference` level of core/kernels. Slow on purpose.
// Shapes, ranges and equations are those of core/kernels/api.h, whose argument structs carry the same names.
#pragma once

#include <cstdint>

#include "core/base/view.h"
#include "core/quant/cache.h"
#include "core/quant/pack.h"
#include "core/quant/scheme.h"

namespace a48::quant {

/// Rows whose share of a gain's gradient is summed before the sums of all blocks are added, in ascending
/// order: what makes that gradient independent of the number of threads.
inline constexpr std::int64_t kGainBlockRows = 64;

void reference_stat_rows(Rows<const float> x, Scheme scheme, float* stat, std::uint8_t* status);
void reference_encode_rows(Rows<const float> x, Scheme scheme, const float* stat, const std::uint8_t* status,
                           Rows<std::int8_t> codes, float* step, std::int32_t* code_sum);
void reference_topk_rows(Rows<const float> x, std::int64_t keep, Rows<std::uint8_t> mask);
/// Quantize, then mask: the statistic is that of the whole row (a4.8: Q(X) ⊙ M). keep = 0: no mask.
void reference_quantize_rows(Rows<const float> x, Scheme scheme, std::int64_t keep, Rows<std::int8_t> codes,
                             float* step, std::int32_t* code_sum, std::uint8_t* status);

void reference_pack4_rows(Scheme scheme, Rows<const std::int8_t> codes, Rows<std::uint8_t> packed);
void reference_unpack4_rows(Scheme scheme, Rows<const std::uint8_t> packed, Rows<std::int8_t> codes);
/// Ternary codes [N, K] <-> bytes [stored_rows, stored_row_bytes] of a layout; padding is t = 0.
void reference_pack_ternary(TernaryLayout layout, Rows<const std::int8_t> codes, Rows<std::uint8_t> packed);
/// Error(bad_input) names stored row and byte of a code 3, in padding too.
void reference_unpack_ternary(TernaryLayout layout, Rows<const std::uint8_t> packed, Rows<std::int8_t> codes);
/// Head codes of formats.md 9: [V, D] -> bytes [V, i8_row_bytes(D)] with a scale per row; a finite weight is
/// the caller's promise.
void reference_pack_i8_rows(Rows<const float> weight, Rows<std::uint8_t> stored, float* scale);
/// -> bytes [V, i4_row_bytes(D)] or [V, i6_row_bytes(D)] with fp16 scales [V, ⌈D/32⌉].
void reference_pack_i4_rows(Rows<const float> weight, Rows<std::uint8_t> stored, Rows<std::uint16_t> scale);
void reference_pack_i6_rows(Rows<const float> weight, Rows<std::uint8_t> stored, Rows<std::uint16_t> scale);
/// `packed` is read where the scheme stores 4 bits per code, else `codes`.
void reference_codes_to_float(Scheme scheme, Rows<const std::int8_t> codes, Rows<const std::uint8_t> packed,
                              Rows<float> q);

/// fp64 lane sums of |x|.
void reference_abs_sum_rows(Rows<const float> x, double* sum);
void reference_ternarize_weight(Rows<const float> weight, Rows<std::int8_t> codes, float* alpha,
                                std::uint8_t* status);
/// Sums in int64.
void reference_gemm_ternary(Rows<const std::int8_t> codes, const float* step, Rows<const std::int8_t> weight,
                            float alpha, Rows<float> y);
/// Its sums for one output of a packed matrix; the invalid code 3 counts as t = 2.
std::int64_t reference_ternary_sum(const std::int8_t* codes, std::int64_t inputs, TernaryLayout layout,
                                   Rows<const std::uint8_t> packed, std::int64_t output);

void reference_rms_norm_rows(Rows<const float> x, const float* gain, double eps, Rows<float> y,
                             float* inverse_rms);
/// Adds to dgain.
void reference_rms_norm_backward_rows(Rows<const float> x, Rows<const float> dy, const float* gain,
                                      const float* inverse_rms, Rows<float> dx, float* dgain);

void reference_relu2_glu_rows(Rows<const float> gate, Rows<const float> up, Rows<float> y);
void reference_silu_glu_rows(Rows<const float> gate, Rows<const float> up, Rows<float> y);
void reference_relu2_glu_backward_rows(Rows<const float> gate, Rows<const float> up, Rows<const float> dy,
                                       Rows<float> dgate, Rows<float> dup);
void reference_silu_glu_backward_rows(Rows<const float> gate, Rows<const float> up, Rows<const float> dy,
                                      Rows<float> dgate, Rows<float> dup);

/// One head of one cached key or value (core/quant/cache.h): 32, 16, 4 or 3 bits. False, and stored as zeros,
/// where it is not finite or overflows fp16. gamma is not touched at 32 and 16 bits.
bool reference_encode_cache_row(int bits, const float* x, std::int64_t head_dim, std::uint8_t* stored,
                                F16* gamma);
/// u of each channel (the stored floats at 32 and 16 bits); returns s (1).
float reference_levels_of_cache_row(int bits, const std::uint8_t* stored, F16 gamma, std::int64_t head_dim,
                                    float* u);
/// Codes of a query head, and its step: 8 = INT8 absmax, 4 = u of the 4-bit cache code; 16: neither.
float reference_quantize_query(int q_bits, const float* x, std::int64_t head_dim, std::int8_t* codes);
bool reference_query_is_finite(int q_bits, const float* x, std::int64_t head_dim);

void reference_rope_rows(Rows<const float> x, Rows<float> y, const std::int32_t* position, std::int64_t heads,
                         std::int64_t head_dim, Rows<const float> cos, Rows<const float> sin, bool inverse);

}  // namespace a48::quant
