// RMSNorm and its derivative in AVX-512: rms_norm_rows_body.h on the registers of rows_avx512.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx512.h"
// Uses the registers above.
#include "core/kernels/cpu/rms_norm_rows_body.h"

namespace a48::kernels::cpu {

void rms_norm_rows_avx512(const RmsNormRows& args, std::int64_t begin, std::int64_t end) {
  rms_norm_rows_body(args, begin, end);
}

void rms_norm_backward_blocks_avx512(const RmsNormBackwardBlocks& args, std::int64_t begin,
                                     std::int64_t end) {
  rms_norm_backward_blocks_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
