#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx512.h"
// Uses the Vector above.
#include "core/kernels/cpu/head_rows_body.h"

namespace a48::kernels::cpu {

void head_rows_avx512(const HeadRows& args, std::int64_t begin, std::int64_t end) {
  head_rows_body<float>({args.x, args.weight, args.logits}, begin, end);
}

}  // namespace a48::kernels::cpu
