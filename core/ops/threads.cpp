// LibTorch's pool as the backend of core/base/parallel.h.
#include "core/ops/threads.h"

#include <ATen/Parallel.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "core/base/parallel.h"

#ifndef _OPENMP
#error "at::parallel_for is serial in a file compiled without -fopenmp (scripts/cmake/Torch.cmake)"
#endif

namespace a48::ops {
namespace {

void run_on_torch(int tasks, FunctionRef<void(int)> task) {
  at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) task(static_cast<int>(i));
  });
}

void set_torch_threads(int threads) { at::set_num_threads(threads); }

}  // namespace

void use_torch_threads() {
  set_parallel_backend({set_torch_threads, run_on_torch});
#ifdef __GLIBC__
  // Blocks up to the largest threshold that glibc takes come from the heap, and the heap keeps what it has:
  // else every step would pay a page fault for each 4 KiB of its activations.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

}  // namespace a48::ops
