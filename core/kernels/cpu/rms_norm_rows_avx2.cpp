// RMSNorm and its derivative in AVX2: rms_norm_rows_body.h on the registers of rows_avx2.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx2.h"
// Uses the registers above.
#include "core/kernels/cpu/rms_norm_rows_body.h"

namespace a48::kernels::cpu {

void rms_norm_rows_avx2(const RmsNormRows& args, std::int64_t begin, std::int64_t end) {
  rms_norm_rows_body(args, begin, end);
}

void rms_norm_backward_blocks_avx2(const RmsNormBackwardBlocks& args, std::int64_t begin, std::int64_t end) {
  rms_norm_backward_blocks_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
