#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx512.h"
// Uses the Vector above.
#include "core/kernels/cpu/packed_head_rows_body.h"

namespace a48::kernels::cpu {

void packed_head_rows_avx512(const HeadProduct& args, std::int64_t begin, std::int64_t end) {
  if (args.weight.kind == HeadClass::f32) return float_product<float>(args, begin, end);
  if (args.weight.kind == HeadClass::bf16) return float_product<quant::Bf16>(args, begin, end);
  packed_head_rows_reference(args, begin, end);
}

}  // namespace a48::kernels::cpu
