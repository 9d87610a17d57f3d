#include "core/base/fmath.h"
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {

void head_rows_reference(const HeadRows& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = 0; r < a.x.rows; ++r) {
    for (std::int64_t v = begin; v < end; ++v)
      a.logits.row(r)[v] = lane_dot(a.x.row(r), a.weight.row(v), a.x.cols);
  }
}

}  // namespace a48::kernels::cpu
