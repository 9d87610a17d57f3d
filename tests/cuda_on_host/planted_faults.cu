#include "tests/cuda_on_host/planted_faults.h"

#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/reduce.cuh"

namespace a48::test {
namespace {

using namespace kernels::cuda;

__global__ void reverse_kernel(const int* in, int* out, bool barrier) {
  int* shared = reinterpret_cast<int*>(shared_memory());
  const int i = thread_of_block();
  shared[i] = in[i];
  if (barrier) __syncthreads();
  out[i] = shared[kThreads - 1 - i];
}

__global__ void reuse_kernel(const int* in, int* sum, int* largest, bool barrier) {
  __shared__ int of_warp[kThreads / kWarpThreads];
  const int i = thread_of_block();
  const int warp_sum = __reduce_add_sync(kAllLanes, in[i]);
  if (lane_of_warp() == 0) of_warp[warp_of_block()] = warp_sum;
  __syncthreads();
  sum[i] = of_warp[0] + of_warp[1];
  if (barrier) __syncthreads();
  const int warp_largest = __reduce_max_sync(kAllLanes, in[i]);
  if (lane_of_warp() == 0) of_warp[warp_of_block()] = warp_largest;
  __syncthreads();
  largest[i] = of_warp[0] > of_warp[1] ? of_warp[0] : of_warp[1];
}

__global__ void multiply_kernel(const std::int8_t* a, const std::int8_t* b, std::int32_t* d,
                                bool right_index) {
  const int lane = lane_of_warp(), group = lane / 4, t = lane % 4;
  const auto four = [&](const std::int8_t* matrix, int row, int col) {
    return *reinterpret_cast<const std::uint32_t*>(matrix + row * 32 + col);
  };
  std::uint32_t of_a[4] = {four(a, group, 4 * t), four(a, group + 8, 4 * t), four(a, group, 16 + 4 * t),
                           four(a, group + 8, 16 + 4 * t)};
  if (!right_index) {
    const std::uint32_t other = of_a[1];
    of_a[1] = of_a[2];
    of_a[2] = other;
  }
  const std::uint32_t of_b[2] = {four(b, group, 4 * t), four(b, group, 16 + 4 * t)};
  int of_d[4] = {0, 0, 0, 0};
  mma_m16n8k32_s8(of_d, of_a, of_b);
  if (warp_of_block() != 0) return;
  for (int i = 0; i < 4; ++i) d[(group + (i < 2 ? 0 : 8)) * 8 + 2 * t + i % 2] = of_d[i];
}

__global__ void copy_kernel(const std::uint32_t* in, std::uint32_t* out, bool wait) {
  std::uint32_t* shared = reinterpret_cast<std::uint32_t*>(shared_memory());
  const int i = thread_of_block();
  if (i % 4 == 0) cp_async_16(shared + i, in + i, 16);
  cp_async_commit();
  if (wait) cp_async_wait<0>();
  __syncthreads();
  out[i] = shared[i];
  cp_async_wait<0>();
}

__global__ void misuse_kernel(Misuse kind, int* memory) {
  const int i = thread_of_block();
  switch (kind) {
    case Misuse::barrier_not_by_all:
      if (i != 5) __syncthreads();
      break;
    case Misuse::barrier_after_return:
      if (i >= 40) return;
      __syncthreads();
      break;
    case Misuse::divergent_shuffle:
      if (i % 2 == 0) memory[i] = __shfl_sync(kAllLanes, i, 0);
      break;
    case Misuse::two_barriers:
      if (i < 32) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case Misuse::outside_memory:
      memory[i + 1] = i;
      break;
  }
}

template <typename... Parameters, typename... Arguments>
void launch_one_block(void (*kernel)(Parameters...), const Arguments&... arguments) {
  launch("planted fault", nullptr, {1, 1, kThreads, kThreads * sizeof(int)}, kernel, arguments...);
}

}  // namespace

void reverse_in_shared(const int* in, int* out, bool barrier) {
  launch_one_block(reverse_kernel, in, out, barrier);
}
void reuse_shared(const int* in, int* sum, int* largest, bool barrier) {
  launch_one_block(reuse_kernel, in, sum, largest, barrier);
}
void multiply_tile(const std::int8_t* a, const std::int8_t* b, std::int32_t* d, bool right_index) {
  launch_one_block(multiply_kernel, a, b, d, right_index);
}
void copy_asynchronously(const std::uint32_t* in, std::uint32_t* out, bool wait) {
  launch_one_block(copy_kernel, in, out, wait);
}
void misuse(Misuse kind, int* memory) { launch_one_block(misuse_kernel, kind, memory); }

}  // namespace a48::test
