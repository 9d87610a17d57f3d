// A build without nvcc: there are no CUDA kernels, and it says so. All that the headers of this folder
// promise stands here once more, so that callers are the same in every build.
#include "core/base/check.h"
#include "core/kernels/cuda/graph.h"
#include "core/kernels/cuda/memory.h"

namespace a48::kernels::cuda {
namespace {

[[noreturn]] void fail_absent() { fail(ErrorKind::no_resources, no_device_reason()); }

}  // namespace

int device_count() { return 0; }
std::string no_device_reason() {
  return "this build has no CUDA kernels: nvcc was not found when it was made (CUDA toolkit, then build "
         "again)";
}
std::string device_name() { fail_absent(); }
std::int64_t free_device_memory() { fail_absent(); }

void* device_allocate(std::int64_t) { fail_absent(); }
void device_free(void*) {}
void* host_allocate(std::int64_t) { fail_absent(); }
void host_free(void*) {}
void copy_to_device(void*, const void*, std::int64_t, Stream) { fail_absent(); }
void copy_to_host(void*, const void*, std::int64_t, Stream) { fail_absent(); }
void clear_on_device(void*, std::int64_t, Stream) { fail_absent(); }
void synchronize(Stream) { fail_absent(); }

OwnedStream::OwnedStream() { fail_absent(); }
OwnedStream::~OwnedStream() = default;
Graph::Graph(Stream, FunctionRef<void()>) { fail_absent(); }
Graph::~Graph() = default;
void Graph::start(Stream) const { fail_absent(); }
double seconds_on_device(Stream, FunctionRef<void()>) { fail_absent(); }

const CudaTable& table_cuda() { fail_absent(); }

}  // namespace a48::kernels::cuda
