// The GPU form of the tests: once, where a device is.
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

void on_every_order(const std::function<void()>& body) {
  if (cuda::device_count() == 0) A48_SKIP("no CUDA device");
  body();
}

}  // namespace a48::test
