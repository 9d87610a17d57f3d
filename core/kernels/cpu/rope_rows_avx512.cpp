// The rotary embedding in AVX-512: rope_rows_body.h on the registers of rows_avx512.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx512.h"
// Uses the registers above.
#include "core/kernels/cpu/rope_rows_body.h"

namespace a48::kernels::cpu {

void rope_rows_avx512(const RopeRows& args, std::int64_t begin, std::int64_t end) {
  rope_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
