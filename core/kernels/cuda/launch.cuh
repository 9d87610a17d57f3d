// How kernels are started, and the only place that asks the runtime whether that worked. The <<<>>> form is
// not C++; launch() is, so that tests/cuda_on_host can run the same sources.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/kernels/cuda/table_cuda.h"

namespace a48::kernels::cuda {

inline void check_cuda(cudaError_t error, ErrorKind kind, const char* what) {
  A48_CHECK(error == cudaSuccess, kind, "CUDA: ", what, ": ", cudaGetErrorString(error));
}

struct Grid {
  std::int64_t x = 1, y = 1;  // blocks
  int threads = 256;          // a multiple of 32
  std::size_t shared_bytes = 0;
};

inline constexpr std::size_t kSharedWithoutAsking = 48 * 1024;

/// Puts a kernel on the stream; an empty grid is no work.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, Stream stream, const Grid& grid, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  A48_ASSERT(grid.x <= 0x7fffffff && grid.y <= 65535, name, "blocks", grid.x, "x", grid.y);
  if (grid.shared_bytes > kSharedWithoutAsking)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(grid.shared_bytes)),
               ErrorKind::no_resources, name);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  check_cuda(cudaLaunchKernelEx(&config, kernel, arguments...), ErrorKind::internal, name);
}

/// The dynamic shared memory of the block. Kernels have no other: their size is one launch argument, and the
/// host form can fill it with poison.
__device__ inline unsigned char* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ uint4 a48_shared_memory[];  // uint4: aligned to 16 bytes
  return reinterpret_cast<unsigned char*>(a48_shared_memory);
#else
  return cuda_on_host::dynamic_shared();
#endif
}

}  // namespace a48::kernels::cuda
