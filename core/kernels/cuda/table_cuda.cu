// The list of CUDA kernels: an entry here, its arguments in table_cuda.h, its source in the file of its name.
#include "core/kernels/cuda/entries.h"

namespace a48::kernels::cuda {

const CudaTable& table_cuda() {
  static constexpr CudaTable table{
      .quantize_rows = quantize_rows,
      .topk_rows = topk_rows,
      .pack4_rows = pack4_rows,
      .unpack4_rows = unpack4_rows,
      .ternary_words = ternary_words,
      .ternarize_weight = ternarize_weight,
      .gemm_ternary = gemm_ternary,
      .scale_rows = scale_rows,
      .gemv_ternary = gemv_ternary,
      .codes_to_float = codes_to_float,
      .scaled_gradient = scaled_gradient,
      .rms_norm_rows = rms_norm_rows,
      .rms_norm_backward_rows = rms_norm_backward_rows,
      .glu_rows = glu_rows,
      .glu_backward_rows = glu_backward_rows,
      .rope_rows = rope_rows,
      .widen_rows = widen_rows,
      .add_rows = add_rows,
      .store_cache_rows = store_cache_rows,
      .attention_cache_rows = attention_cache_rows,
      .packed_head_rows = packed_head_rows,
      .read_bytes = read_bytes,
      .do_nothing = do_nothing,
  };
  return table;
}

}  // namespace a48::kernels::cuda
