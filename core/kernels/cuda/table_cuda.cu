// The list of CUDA kernels: an entry here, its arguments in table_cuda.h, its source in the file of its name.
#include "core/kernels/cuda/entries.h"

namespace a48::kernels::cuda {

const CudaTable& table_cuda() {
  static constexpr CudaTable table{
      .quantize_rows = quantize_rows,
      .topk_rows = topk_rows,
  };
  return table;
}

}  // namespace a48::kernels::cuda
