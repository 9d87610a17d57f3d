// The gated activations in AVX-512: glu_rows_body.h on the registers of rows_avx512.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx512.h"
// Uses the registers above.
#include "core/kernels/cpu/glu_rows_body.h"

namespace a48::kernels::cpu {

void glu_rows_avx512(const GluRows& args, std::int64_t begin, std::int64_t end) {
  glu_rows_body(args, begin, end);
}

void glu_backward_rows_avx512(const GluBackwardRows& args, std::int64_t begin, std::int64_t end) {
  glu_backward_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
