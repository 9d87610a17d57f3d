// A recorded graph does its work when it is started, again and again, on what memory then holds.
#include "core/kernels/cuda/graph.h"

#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

TEST_CASE("a graph runs nothing while it is recorded, and reads memory each time it is started") {
  const Matrix<float> x = matrix_of(RowKind::gaussian, 1, 70, 1), y = matrix_of(RowKind::gaussian, 1, 70, 2);
  on_every_order([&] {
    const cuda::OwnedStream stream;
    DeviceMatrix<float> sum(x.view(), 70);
    DeviceMatrix<float> added(y.view(), 70);
    cuda::PinnedBuffer<float> result(70);
    Matrix<float> expected = x;
    const auto check = [&] {
      for (std::int64_t k = 0; k < 70; ++k) CHECK(same_bits(result.data()[k], expected.row(0)[k]));
    };
    const cuda::Graph graph(stream.get(), [&] {
      cuda::table_cuda().add_rows({.y = added.view(), .x = sum.view()}, stream.get());
      cuda::copy_to_host(result.data(), sum.data(), result.bytes(), stream.get());
    });
    CHECK(rows_difference<float>(sum, expected.view()) == "");  // nothing was done
    for (int round = 0; round < 3; ++round) {
      graph.start(stream.get());
      cuda::synchronize(stream.get());
      for (std::int64_t k = 0; k < 70; ++k) expected.row(0)[k] += y.row(0)[k];
      check();
    }
    cuda::clear_on_device(added.data(), 70 * 4, stream.get());
    graph.start(stream.get());
    cuda::synchronize(stream.get());
    check();
    CHECK(cuda::seconds_on_device(stream.get(), [&] { graph.start(stream.get()); }) >= 0.0);
  });
}

}  // namespace a48::test
