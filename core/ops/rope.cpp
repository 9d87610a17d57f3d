// Rotation forth and, for the derivative, back. Next: core/kernels/cpu/rope_rows.cpp.
#include "core/ops/rope.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/kernels/api.h"
#include "core/kernels/rope_table.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"
#include "core/ops/device_rows.h"
#include "core/ops/saved_bytes.h"

namespace a48::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor rotated(const at::Tensor& x, const at::Tensor& position, std::int64_t heads, const at::Tensor& cos,
                   const at::Tensor& sin, bool inverse) {
  if (on_device(x)) return device_rotated(x, position, heads, cos, sin, inverse);
  const at::Tensor matrix = matrix_of(x, "input");
  at::Tensor y = empty_matrix(matrix.size(0), matrix.size(1));
  kernels::rope_rows({.x = rows_of<const float>(matrix),
                      .y = rows_of<float>(y),
                      .position = position.data_ptr<std::int32_t>(),
                      .heads = heads,
                      .head_dim = matrix.size(1) / heads,
                      .cos = rows_of<const float>(cos),
                      .sin = rows_of<const float>(sin),
                      .inverse = inverse});
  return y;
}

struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& position,
                            std::int64_t heads, const at::Tensor& cos, const at::Tensor& sin) {
    ctx->save_for_backward({position, cos, sin});
    note_saved("rope", {position, cos, sin});
    ctx->saved_data["heads"] = heads;
    return rotated(x, position, heads, cos, sin, false);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor dx =
        rotated(grads[0], saved[0], ctx->saved_data["heads"].toInt(), saved[1], saved[2], true);
    return {dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

/// On the CPU: a GPU's positions are made by the model and not asked for.
void check_positions(const at::Tensor& position, const RopeTables& tables) {
  const std::int32_t* positions = position.data_ptr<std::int32_t>();
  for (std::int64_t r = 0; r < position.numel(); ++r) {
    A48_CHECK(positions[r] >= 0 && positions[r] < tables.cos.size(0), ErrorKind::config, "position ",
              positions[r], "; the model's context is ", tables.cos.size(0),
              " tokens (model.max_position_embeddings)");
  }
}

}  // namespace

RopeTables rope_tables(std::int64_t positions, std::int64_t head_dim, double theta) {
  const kernels::RopeTable table = kernels::build_rope_table(positions, head_dim, theta);
  RopeTables tables{empty_matrix(positions, table.half), empty_matrix(positions, table.half)};
  std::copy_n(table.cos.data(), table.cos.size(), tables.cos.data_ptr<float>());
  std::copy_n(table.sin.data(), table.sin.size(), tables.sin.data_ptr<float>());
  return tables;
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& position, std::int64_t heads,
                const RopeTables& tables) {
  if (!on_device(x)) check_positions(position, tables);
  A48_ASSERT(x.dim() == 2 && position.numel() == x.size(0) && x.size(1) == heads * 2 * tables.cos.size(1));
  return wants_grad(x) ? Rope::apply(x, position, heads, tables.cos, tables.sin)
                       : rotated(x.detach(), position, heads, tables.cos, tables.sin, false);
}

}  // namespace a48::ops
