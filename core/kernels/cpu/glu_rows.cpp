// The gated activations and their derivatives: the portable loops. The formulas: core/quant/glu.h.
// The same in instructions: glu_rows_avx2.cpp, glu_rows_avx512.cpp.
#include "core/quant/glu.h"

#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {

void glu_rows_portable(const GluRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float *gate = args.gate.row(r), *up = args.up.row(r);
    float* y = args.y.row(r);
    if (args.kind == GluKind::relu2) {
      for (std::int64_t k = 0; k < args.gate.cols; ++k) y[k] = quant::relu2_glu(gate[k], up[k]);
    } else {
      for (std::int64_t k = 0; k < args.gate.cols; ++k) y[k] = quant::silu_glu(gate[k], up[k]);
    }
  }
}

void glu_backward_rows_portable(const GluBackwardRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float *gate = args.gate.row(r), *up = args.up.row(r), *dy = args.dy.row(r);
    float *dgate = args.dgate.row(r), *dup = args.dup.row(r);
    for (std::int64_t k = 0; k < args.gate.cols; ++k) {
      const quant::GluGradient d = args.kind == GluKind::relu2
                                       ? quant::relu2_glu_gradient(gate[k], up[k], dy[k])
                                       : quant::silu_glu_gradient(gate[k], up[k], dy[k]);
      dgate[k] = d.gate;
      dup[k] = d.up;
    }
  }
}

}  // namespace a48::kernels::cpu
