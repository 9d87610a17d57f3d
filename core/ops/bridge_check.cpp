// Linked with bridge_cuda.cpp where LibTorch's CUDA libraries are not whole: shows that it fits them. Never
// run.
#include "core/ops/gpu.h"

int main() {
  a48::ops::use_gpu();
  return static_cast<int>(a48::ops::gpu_memory().free % 2);
}
