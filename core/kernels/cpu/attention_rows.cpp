#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_portable.h"
// Uses the Vector above.
#include "core/kernels/cpu/attention_rows_body.h"

namespace a48::kernels::cpu {

void attention_rows_portable(const AttentionRows& args, std::int64_t begin, std::int64_t end) {
  attention_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
