// Kernel-internal: the gated activations for the registers of the including file (rows_<isa>.h). The
// formulas, in the same order of operations: core/quant/glu.h.
#pragma once

#include "core/kernels/api.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE Vector silu_denominator(Vector gate) { return Vector::broadcast(1.0f) + exp_f32(negative(gate)); }

A48_INLINE void glu_rows_body(const GluRows& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const float *gates = args.gate.row(r), *ups = args.up.row(r);
    float* y = args.y.row(r);
    if (args.kind == GluKind::relu2) {
      for_each_part(args.gate.cols, [&](std::int64_t k, int i, auto extent) {
        const Vector gate = extent.load(gates + k, i), up = extent.load(ups + k, i);
        extent.store(y + k, i, gated(gate, (gate * gate) * up));
      });
    } else {
      for_each_part(args.gate.cols, [&](std::int64_t k, int i, auto extent) {
        const Vector gate = extent.load(gates + k, i), up = extent.load(ups + k, i);
        extent.store(y + k, i, (gate / silu_denominator(gate)) * up);
      });
    }
  }
}

A48_INLINE void glu_backward_rows_body(const GluBackwardRows& args, std::int64_t begin, std::int64_t end) {
  const Vector one = Vector::broadcast(1.0f);
  for (std::int64_t r = begin; r < end; ++r) {
    const float *gates = args.gate.row(r), *ups = args.up.row(r), *dys = args.dy.row(r);
    float *dgate = args.dgate.row(r), *dup = args.dup.row(r);
    if (args.kind == GluKind::relu2) {
      for_each_part(args.gate.cols, [&](std::int64_t k, int i, auto extent) {
        const Vector gate = extent.load(gates + k, i), up = extent.load(ups + k, i),
                     dy = extent.load(dys + k, i);
        extent.store(dgate + k, i, gated(gate, (dy * up) * (gate + gate)));
        extent.store(dup + k, i, gated(gate, dy * (gate * gate)));
      });
    } else {
      for_each_part(args.gate.cols, [&](std::int64_t k, int i, auto extent) {
        const Vector gate = extent.load(gates + k, i), up = extent.load(ups + k, i),
                     dy = extent.load(dys + k, i);
        const Vector denominator = silu_denominator(gate);
        const Vector sigma = one / denominator;
        extent.store(dgate + k, i, (dy * up) * (sigma * (one + gate * (one - sigma))));
        extent.store(dup + k, i, dy * (gate / denominator));
      });
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
