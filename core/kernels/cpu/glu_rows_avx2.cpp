// The gated activations in AVX2: glu_rows_body.h on the registers of rows_avx2.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx2.h"
// Uses the registers above.
#include "core/kernels/cpu/glu_rows_body.h"

namespace a48::kernels::cpu {

void glu_rows_avx2(const GluRows& args, std::int64_t begin, std::int64_t end) {
  glu_rows_body(args, begin, end);
}

void glu_backward_rows_avx2(const GluBackwardRows& args, std::int64_t begin, std::int64_t end) {
  glu_backward_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
