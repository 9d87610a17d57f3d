// Rows of an embedding by ids in device memory, and the residual addition.
#include <utility>

#include "tests/core/kernels/cuda/float_rows.h"

namespace a48::test {
namespace {

template <typename T>
void check(kernels::HeadClass kind, std::int64_t width) {
  const Matrix<float> rows = kept_by<T>(matrix_of(RowKind::gaussian, 40, width, 3));
  const Matrix<T> stored = stored_as<T>(rows);
  const std::vector<std::int32_t> id{39, 0, 7, 7};
  Matrix<float> expected(std::ssize(id), width);
  for (std::size_t r = 0; r < id.size(); ++r)
    std::copy_n(rows.row(id[r]), width, expected.row(static_cast<std::int64_t>(r)));
  on_every_order([&] {
    const DeviceMatrix<T> embedding(stored.view(), width + 32);
    const DeviceMatrix<std::int32_t> ids = device_vector(id);
    DeviceMatrix<float> x(std::ssize(id), width, width + 3);
    const std::int64_t size = sizeof(T);
    kernels::HeadWeight table;
    table.kind = kind;
    table.rows = 40;
    table.cols = width;
    table.stored = {reinterpret_cast<const std::uint8_t*>(embedding.view().data), 40, width * size,
                    (width + 32) * size};
    cuda::table_cuda().widen_rows({.embedding = table, .id = ids.view().data, .x = x.view()}, nullptr);
    CHECK(rows_difference<float>(x, expected.view()) == "");
  });
}

}  // namespace

TEST_CASE("rows of an embedding are widened by the ids that stand in device memory") {
  for (const std::int64_t width : {1, 48, 300}) {
    check<float>(kernels::HeadClass::f32, width);
    check<quant::Bf16>(kernels::HeadClass::bf16, width);
  }
}

TEST_CASE("the residual addition adds element by element, whatever the strides") {
  const Matrix<float> x = matrix_of(RowKind::gaussian, 3, 300, 1),
                      y = matrix_of(RowKind::gaussian, 3, 300, 2);
  Matrix<float> expected = x;
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t k = 0; k < 300; ++k) expected.row(r)[k] += y.row(r)[k];
  on_every_order([&] {
    DeviceMatrix<float> sum(x.view(), 301);
    const DeviceMatrix<float> added(y.view(), 304);
    cuda::table_cuda().add_rows({.y = added.view(), .x = sum.view()}, nullptr);
    CHECK(rows_difference<float>(sum, expected.view()) == "");
  });
}

}  // namespace a48::test
