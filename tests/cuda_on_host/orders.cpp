// The three orders of threads that every case runs in.
#include "tests/core/kernels/cuda/cuda_test.h"
#include "tests/cuda_on_host/machine.h"

namespace a48::test {

void on_every_order(const std::function<void()>& body) {
  using cuda_on_host::Order;
  for (const Order order : {Order::ascending, Order::descending, Order::random}) {
    cuda_on_host::set_order(order, seed());
    INFO("order of threads: " << (order == Order::ascending    ? "ascending"
                                  : order == Order::descending ? "descending"
                                                               : "random"));
    body();
  }
  cuda_on_host::set_order(Order::ascending);
}

}  // namespace a48::test
