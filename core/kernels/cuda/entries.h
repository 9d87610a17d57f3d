// Every CUDA entry by name; only table_cuda.cu includes this.
#pragma once

#include "core/kernels/cuda/table_cuda.h"

namespace a48::kernels::cuda {

template <typename Args>
using EntryFunction = void(const Args& args, Stream stream);

EntryFunction<QuantizeArgs> quantize_rows;
EntryFunction<TopkRows> topk_rows;
EntryFunction<Pack4Rows> pack4_rows;
EntryFunction<Unpack4Rows> unpack4_rows;
EntryFunction<TernaryWordsArgs> ternary_words;
EntryFunction<TernarizeArgs> ternarize_weight;
EntryFunction<GemmArgs> gemm_ternary;
EntryFunction<ScaleArgs> scale_rows;
EntryFunction<GemvArgs> gemv_ternary;
EntryFunction<CodesToFloatArgs> codes_to_float;
EntryFunction<ScaledGradientArgs> scaled_gradient;
EntryFunction<RmsNormArgs> rms_norm_rows;
EntryFunction<RmsNormBackwardArgs> rms_norm_backward_rows;
EntryFunction<GluArgs> glu_rows;
EntryFunction<GluBackwardArgs> glu_backward_rows;
EntryFunction<RopeArgs> rope_rows;
EntryFunction<WidenArgs> widen_rows;
EntryFunction<AddArgs> add_rows;
EntryFunction<StoreCacheArgs> store_cache_rows;
EntryFunction<AttentionCacheArgs> attention_cache_rows;
EntryFunction<HeadArgs> packed_head_rows;
EntryFunction<ReadArgs> read_bytes;
EntryFunction<NothingArgs> do_nothing;

}  // namespace a48::kernels::cuda
