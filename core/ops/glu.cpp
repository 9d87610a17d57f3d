// The gated unit and its derivative. Next: core/kernels/cpu/glu_rows.cpp.
#include "core/ops/glu.h"

#include <torch/csrc/autograd/custom_function.h>

#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_rows.h"
#include "core/ops/saved_bytes.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor gated(const at::Tensor& gate, const at::Tensor& up, kernels::GluKind kind) {
  if (on_device(gate)) return device_gated(gate, up, kind);
  const at::Tensor g = matrix_of(gate, "gate"), u = matrix_of(up, "up");
  at::Tensor y = empty_matrix(g.size(0), g.size(1));
  kernels::glu_rows(
      {.kind = kind, .gate = rows_of<const float>(g), .up = rows_of<const float>(u), .y = rows_of<float>(y)});
  return y.view(gate.sizes());
}

/// (dgate, dup) as rows.
std::pair<at::Tensor, at::Tensor> gradients(const at::Tensor& of_gate, const at::Tensor& of_up,
                                            const at::Tensor& of_y, kernels::GluKind kind) {
  if (on_device(of_gate)) return device_glu_backward(of_gate, of_up, of_y, kind);
  const at::Tensor gate = matrix_of(of_gate, "gate"), up = matrix_of(of_up, "up"),
                   dy = matrix_of(of_y, "gradient");
  at::Tensor dgate = empty_matrix(gate.size(0), gate.size(1)), dup = empty_matrix(gate.size(0), gate.size(1));
  kernels::glu_backward_rows({.kind = kind,
                              .gate = rows_of<const float>(gate),
                              .up = rows_of<const float>(up),
                              .dy = rows_of<const float>(dy),
                              .dgate = rows_of<float>(dgate),
                              .dup = rows_of<float>(dup)});
  return {dgate, dup};
}

struct Glu : torch::autograd::Function<Glu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up,
                            kernels::GluKind kind) {
    ctx->save_for_backward({gate, up});
    ctx->saved_data["kind"] = static_cast<std::int64_t>(kind);
    note_saved("glu", {gate, up});
    return gated(gate, up, kind);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto kind = static_cast<kernels::GluKind>(ctx->saved_data["kind"].toInt());
    const auto [dgate, dup] = gradients(saved[0], saved[1], grads[0], kind);
    return {dgate.view(saved[0].sizes()), dup.view(saved[1].sizes()), at::Tensor()};
  }
};

}  // namespace

at::Tensor glu(const at::Tensor& gate, const at::Tensor& up, kernels::GluKind kind) {
  A48_CHECK(gate.sizes() == up.sizes(), ErrorKind::config, "GLU: gate and up differ in shape: ", gate.sizes(),
            " and ", up.sizes());
  return wants_grad({gate, up}) ? Glu::apply(gate, up, kind) : gated(gate.detach(), up.detach(), kind);
}

}  // namespace a48::ops
