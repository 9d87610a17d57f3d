// The machine itself: planted faults are seen, each in at least one order, and the same kernels without the
// fault pass in all; misuse of barriers, warps and memory is refused with the place.
#include "tests/cuda_on_host/machine.h"

#include <numeric>

#include "tests/core/kernels/cuda/cuda_test.h"
#include "tests/cuda_on_host/planted_faults.h"

namespace a48::test {
namespace {

/// In how many orders run() is right.
int orders_right(const std::function<bool()>& run) {
  int right = 0;
  on_every_order([&] { right += run(); });
  return right;
}

constexpr int kOrders = 3;

std::vector<int> numbers() {
  std::vector<int> in(kThreads);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int>(random_bits(seed(), 5, i) % 1000);
  return in;
}

bool reverses(bool barrier) {
  const std::vector<int> in = numbers();
  const DeviceMatrix<int> device = device_vector(in);
  DeviceMatrix<int> out(1, kThreads, kThreads);
  reverse_in_shared(device.view().data, out.data(), barrier);
  return out.all() == std::vector<int>(in.rbegin(), in.rend());
}

bool sums_and_finds_largest(bool barrier) {
  const std::vector<int> in = numbers();
  const DeviceMatrix<int> device = device_vector(in);
  DeviceMatrix<int> sum(1, kThreads, kThreads), largest(1, kThreads, kThreads);
  reuse_shared(device.view().data, sum.data(), largest.data(), barrier);
  return sum.all() == std::vector<int>(kThreads, std::accumulate(in.begin(), in.end(), 0)) &&
         largest.all() == std::vector<int>(kThreads, *std::max_element(in.begin(), in.end()));
}

bool multiplies(bool right_index) {
  std::vector<std::int8_t> a(16 * 32), b(8 * 32);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<std::int8_t>(random_bits(seed(), 1, i));
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<std::int8_t>(random_bits(seed(), 2, i));
  std::vector<std::int32_t> expected;
  for (std::size_t m = 0; m < 16; ++m)
    for (std::size_t n = 0; n < 8; ++n) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < 32; ++k) sum += a[m * 32 + k] * b[n * 32 + k];
      expected.push_back(sum);
    }
  DeviceMatrix<std::int8_t> on_a = device_vector(a), on_b = device_vector(b);
  DeviceMatrix<std::int32_t> d(16, 8, 8);
  multiply_tile(on_a.data(), on_b.data(), d.data(), right_index);
  return d.all() == expected;
}

bool copies(bool wait) {
  const std::vector<int> from = numbers();
  const std::vector<std::uint32_t> in(from.begin(), from.end());
  DeviceMatrix<std::uint32_t> device = device_vector(in), out(1, kThreads, kThreads);
  copy_asynchronously(device.data(), out.data(), wait);
  return out.all() == in;
}

}  // namespace

TEST_CASE("a missing __syncthreads between writer and reader is caught") {
  CHECK(orders_right([] { return reverses(true); }) == kOrders);
  CHECK(orders_right([] { return reverses(false); }) == 0);
}

TEST_CASE("a missing __syncthreads before shared memory is written again is caught") {
  CHECK(orders_right([] { return sums_and_finds_largest(true); }) == kOrders);
  CHECK(orders_right([] { return sums_and_finds_largest(false); }) < kOrders);
}

TEST_CASE("a wrong fragment index of mma is caught") {
  CHECK(orders_right([] { return multiplies(true); }) == kOrders);
  CHECK(orders_right([] { return multiplies(false); }) == 0);
}

TEST_CASE("an asynchronous copy that nobody waited for is caught") {
  CHECK(orders_right([] { return copies(true); }) == kOrders);
  CHECK(orders_right([] { return copies(false); }) == 0);
}

TEST_CASE(
    "a barrier that not all reach, a shuffle without its lanes, a write outside memory: faults with the "
    "place") {
  const auto fault_of = [](Misuse kind) -> std::string {
    DeviceMatrix<int> memory(1, kThreads, kThreads);
    try {
      misuse(kind, memory.data());
    } catch (const cuda_on_host::Fault& fault) {
      return fault.what();
    }
    return "no fault";
  };
  on_every_order([&] {
    CHECK_THAT(fault_of(Misuse::barrier_not_by_all), contains("planted_faults.cu") && contains("barrier"));
    CHECK_THAT(fault_of(Misuse::barrier_after_return), contains("have ended") && contains("barrier"));
    CHECK_THAT(fault_of(Misuse::divergent_shuffle), contains("__shfl_sync"));
    CHECK_THAT(fault_of(Misuse::two_barriers), contains("is at the barrier of planted_faults.cu"));
#if !defined(__SANITIZE_ADDRESS__)  // which would end the program at the write
    CHECK_THAT(fault_of(Misuse::outside_memory), contains("behind its end"));
#endif
  });
  CHECK(orders_right([] { return reverses(true); }) == kOrders);  // and the machine goes on working
}

}  // namespace a48::test
