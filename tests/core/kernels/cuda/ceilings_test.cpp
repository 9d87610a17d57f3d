// What measures the ceilings reads all of the memory that it says, and only that.
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

TEST_CASE("read_bytes reads every word once; do_nothing runs") {
  for (const std::int64_t words : {4, 1000, 16384, 40004}) {
    std::vector<std::uint32_t> data;
    std::uint32_t expected = 7;
    for (std::int64_t i = 0; i < words; ++i) {
      data.push_back(static_cast<std::uint32_t>(random_bits(seed(), 1, static_cast<std::uint64_t>(i))));
      expected += data.back();
    }
    on_every_order([&] {
      const DeviceMatrix<std::uint32_t> memory = device_vector(data);
      DeviceMatrix<std::uint32_t> sum = device_vector(std::vector<std::uint32_t>{7});
      cuda::table_cuda().read_bytes({.data = memory.view().data, .bytes = 4 * words, .sum = sum.data()},
                                    nullptr);
      cuda::table_cuda().do_nothing({}, nullptr);
      CHECK(sum.all()[0] == expected);
    });
  }
}

}  // namespace a48::test
