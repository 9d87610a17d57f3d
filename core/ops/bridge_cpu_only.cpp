// A build whose LibTorch has no CUDA libraries: there is no GPU, and it says so.
#include "core/base/check.h"
#include "core/ops/gpu.h"

namespace a48::ops {

int gpu_count() { return 0; }

std::string no_gpu_reason() {
  return "this build cannot use a GPU: it was made without LibTorch's CUDA libraries (scripts/setup.sh "
         "--cuda "
         "installs them; then build again)";
}

void use_gpu() { fail(ErrorKind::no_resources, no_gpu_reason()); }
std::string gpu_name() { fail(ErrorKind::no_resources, no_gpu_reason()); }
GpuMemory gpu_memory() { fail(ErrorKind::no_resources, no_gpu_reason()); }
void reset_most_used() {}
void finish_gpu() {}
double gpu_seconds(FunctionRef<void()>) { fail(ErrorKind::no_resources, no_gpu_reason()); }
void set_deterministic(bool) {}

}  // namespace a48::ops
