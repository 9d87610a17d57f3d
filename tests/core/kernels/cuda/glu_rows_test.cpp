// The gated activations of CUDA and their derivatives against the reference on CPU, all bits.
#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/float_rows.h"

namespace a48::test {
namespace {

using kernels::GluKind;

template <typename T>
void check(GluKind kind, std::int64_t width) {
  const Matrix<float> gate = kept_by<T>(matrix_of_all_kinds(width, 1)),
                      up = kept_by<T>(matrix_of_all_kinds(width, 2)),
                      dy = kept_by<T>(matrix_of_all_kinds(width, 3));
  const std::int64_t rows = gate.view().rows;
  Matrix<float> y(rows, width), dgate(rows, width), dup(rows, width);
  if (kind == GluKind::relu2) {
    quant::reference_relu2_glu_rows(gate.view(), up.view(), y.view());
    quant::reference_relu2_glu_backward_rows(gate.view(), up.view(), dy.view(), dgate.view(), dup.view());
  } else {
    quant::reference_silu_glu_rows(gate.view(), up.view(), y.view());
    quant::reference_silu_glu_backward_rows(gate.view(), up.view(), dy.view(), dgate.view(), dup.view());
  }
  const Matrix<T> gate_stored = stored_as<T>(gate), up_stored = stored_as<T>(up),
                  dy_stored = stored_as<T>(dy);
  const Matrix<float> kept_y = kept_by<T>(y), kept_dgate = kept_by<T>(dgate), kept_dup = kept_by<T>(dup);
  INFO("width " << width << ", silu " << (kind == GluKind::silu));
  on_every_order([&] {
    const DeviceMatrix<T> g(gate_stored.view(), cuda::round_up(width, 4)), u(up_stored.view(), width + 1),
        d(dy_stored.view(), cuda::round_up(width, 4));
    DeviceMatrix<T> found(rows, width, cuda::round_up(width, 4)), found_dgate(rows, width, width + 1),
        found_dup(rows, width, cuda::round_up(width, 4));
    cuda::table_cuda().glu_rows({kind, g.view(), u.view(), found.view()}, nullptr);
    cuda::table_cuda().glu_backward_rows(
        {kind, g.view(), u.view(), d.view(), found_dgate.view(), found_dup.view()}, nullptr);
    CHECK(difference_as_float(found, kept_y) == "");
    CHECK(difference_as_float(found_dgate, kept_dgate) == "");
    CHECK(difference_as_float(found_dup, kept_dup) == "");
  });
}

}  // namespace

TEST_CASE("check 20: relu2 and silu gates and their derivatives equal the CPU's, fp32 and bf16") {
  for (const GluKind kind : {GluKind::relu2, GluKind::silu})
    for (const std::int64_t width : {1, 3, 8, 33, 136, 2202}) {
      check<float>(kind, width);
      check<quant::Bf16>(kind, width);
    }
}

}  // namespace a48::test
