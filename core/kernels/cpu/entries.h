// Every CPU kernel by name, one line an operation: <op>_reference (obvious loops), <op>_portable (plain C++),
// <op>_avx2, <op>_avx512. Only table.cpp and tests include this; a level without an entry uses the one below
// (table.h).
#pragma once

#include <cstdint>

#include "core/kernels/cpu/gemm_bf16.h"
#include "core/kernels/cpu/gemm_ternary.h"
#include "core/kernels/table.h"

namespace a48::kernels::cpu {

/// The type of a function that works on the units [begin, end) of its operation.
template <typename Args>
using RangeFunction = void(const Args& args, std::int64_t begin, std::int64_t end);

template <typename T>
using ListFunction = std::int64_t(const T* x, std::int64_t n, std::int32_t* index);

RangeFunction<StatRows> stat_rows_reference, stat_rows_portable, stat_rows_avx2, stat_rows_avx512;
RangeFunction<EncodeRows> encode_rows_reference, encode_rows_portable, encode_rows_avx2, encode_rows_avx512;
RangeFunction<TopkRows> topk_rows_reference, topk_rows_portable, topk_rows_avx2, topk_rows_avx512;
RangeFunction<QuantizeRows> quantize_rows_reference, quantize_rows_portable, quantize_rows_avx2,
    quantize_rows_avx512;
RangeFunction<Pack4Rows> pack4_rows_reference, pack4_rows_portable, pack4_rows_avx2;
RangeFunction<Unpack4Rows> unpack4_rows_reference, unpack4_rows_portable, unpack4_rows_avx2;
RangeFunction<CodesToFloat> codes_to_float_reference, codes_to_float_portable, codes_to_float_avx2;
RangeFunction<AbsSumRows> abs_sum_rows_reference, abs_sum_rows_portable, abs_sum_rows_avx2,
    abs_sum_rows_avx512;
RangeFunction<RmsNormRows> rms_norm_rows_reference, rms_norm_rows_portable, rms_norm_rows_avx2,
    rms_norm_rows_avx512;
RangeFunction<RmsNormBackwardBlocks> rms_norm_backward_blocks_reference, rms_norm_backward_blocks_portable,
    rms_norm_backward_blocks_avx2, rms_norm_backward_blocks_avx512;
RangeFunction<GluRows> glu_rows_reference, glu_rows_portable, glu_rows_avx2, glu_rows_avx512;
RangeFunction<GluBackwardRows> glu_backward_rows_reference, glu_backward_rows_portable,
    glu_backward_rows_avx2, glu_backward_rows_avx512;
RangeFunction<RopeRows> rope_rows_reference, rope_rows_portable, rope_rows_avx2;
RangeFunction<AttentionRows> attention_rows_reference, attention_rows_portable, attention_rows_avx2,
    attention_rows_avx512;
RangeFunction<StoreCacheRows> store_cache_rows_reference, store_cache_rows_portable, store_cache_rows_avx2,
    store_cache_rows_avx512;
RangeFunction<AttentionCachePart> attention_cache_sums_reference, attention_cache_sums_portable,
    attention_cache_sums_avx2, attention_cache_sums_avx512, attention_cache_merge_reference,
    attention_cache_merge_portable, attention_cache_merge_avx2, attention_cache_merge_avx512;
RangeFunction<HeadRows> head_rows_reference, head_rows_portable, head_rows_avx2, head_rows_avx512;
RangeFunction<HeadProduct> packed_head_rows_reference, packed_head_rows_portable, packed_head_rows_avx2,
    packed_head_rows_avx512;
RangeFunction<GemvTernaryRow4> gemv_ternary_reference, gemv_ternary_portable, gemv_ternary_avx2,
    gemv_ternary_avx512;
RangeFunction<GemvTernaryRows> gemv_ternary_rows_reference, gemv_ternary_rows_portable,
    gemv_ternary_rows_avx2, gemv_ternary_rows_avx512;
RangeFunction<TernaryColumnSums> gemv_ternary_columns_reference, gemv_ternary_columns_portable,
    gemv_ternary_columns_avx2, gemv_ternary_columns_avx512;
ListFunction<float> list_positive_reference, list_positive_portable, list_positive_avx2, list_positive_avx512;
ListFunction<std::int8_t> list_codes_reference, list_codes_portable, list_codes_avx2, list_codes_avx512;
extern const GemmTernaryKernel gemm_ternary_reference, gemm_ternary_portable, gemm_ternary_avx2,
    gemm_ternary_avx512;

extern const GemmBf16Kernel gemm_bf16_reference, gemm_bf16_avx512_bf16;

}  // namespace a48::kernels::cpu
