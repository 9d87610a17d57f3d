// The calls of the CUDA runtime that our host code makes: memory with guards, launches (machine.h), and
// graphs as lists of what was put on a stream.
#include <cuda_runtime.h>

#include <map>
#include <new>
#include <vector>

#include "core/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

struct CapturedWork {
  std::vector<std::function<cudaError_t()>> steps;
};

namespace a48::cuda_on_host {
namespace {

cudaStream_t captured_stream = nullptr;  // none
CapturedWork* captured = nullptr;

/// Does the work of a stream, or takes it down.
cudaError_t put(cudaStream_t stream, std::function<cudaError_t()> step) {
  if (captured == nullptr || stream != captured_stream) return step();
  captured->steps.push_back(std::move(step));
  return cudaSuccess;
}

constexpr std::size_t kGuard = 256;  // also the alignment, as cudaMalloc's

std::map<void*, std::size_t> allocations;      // address that the caller sees -> bytes
std::map<const void*, std::size_t> shared_of;  // kernels that asked for more than kSharedDefault

unsigned char* block_of(void* memory) { return static_cast<unsigned char*>(memory) - kGuard; }

#if defined(__SANITIZE_ADDRESS__)
void set_guards(unsigned char* block, std::size_t bytes) {  // reads are seen as well
  __asan_poison_memory_region(block, kGuard);
  __asan_poison_memory_region(block + kGuard + bytes, kGuard);
}
void free_guards(unsigned char* block, std::size_t bytes) {
  __asan_unpoison_memory_region(block, 2 * kGuard + bytes);
}
void check_guards() {}
#else
void set_guards(unsigned char*, std::size_t) {}
void free_guards(unsigned char*, std::size_t) {}
void check_guards() {
  for (const auto& [memory, bytes] : allocations) {
    const unsigned char* block = block_of(memory);
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (block[i] != kPoison)
        throw Fault(
            concat("device memory of ", bytes, " bytes: written ", kGuard - i, " bytes before its start"));
      if (block[kGuard + bytes + i] != kPoison)
        throw Fault(concat("device memory of ", bytes, " bytes: written ", i, " bytes behind its end"));
    }
  }
}
#endif

}  // namespace

cudaError_t allow_shared(const void* kernel, int bytes) {
  if (static_cast<std::size_t>(bytes) > kSharedMost) return cudaErrorInvalidValue;
  shared_of[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

cudaError_t launch(const void* kernel, const cudaLaunchConfig_t& config, std::function<void()> body) {
  constexpr unsigned kMostBlocksYZ = 65535;
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const auto allowed = shared_of.find(kernel);
  const std::size_t most_shared = allowed == shared_of.end() ? kSharedDefault : allowed->second;
  if (threads == 0 || threads > kMostThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffffu || grid.y > kMostBlocksYZ || grid.z > kMostBlocksYZ ||
      config.dynamicSmemBytes > most_shared)
    return cudaErrorInvalidValue;
  return put(config.stream, [grid, block, shared = config.dynamicSmemBytes, run = std::move(body)] {
    run_grid(grid, block, shared, run);
    check_guards();
    return cudaSuccess;
  });
}

}  // namespace a48::cuda_on_host

using a48::cuda_on_host::allocations;
using a48::cuda_on_host::kGuard;
using a48::cuda_on_host::kPoison;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const std::size_t size = bytes + 2 * kGuard;
  auto* block = static_cast<unsigned char*>(::operator new (size, std::align_val_t{kGuard}));
  std::memset(block, kPoison, size);
  a48::cuda_on_host::set_guards(block, bytes);
  *memory = block + kGuard;
  allocations[*memory] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const auto found = allocations.find(memory);
  A48_ASSERT(found != allocations.end(), "cudaFree of memory that is not allocated");
  a48::cuda_on_host::free_guards(a48::cuda_on_host::block_of(memory), found->second);
  allocations.erase(found);
  ::operator delete (a48::cuda_on_host::block_of(memory), std::align_val_t{kGuard});
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return cudaMalloc(memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = *total = std::size_t{1} << 34;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return a48::cuda_on_host::put(stream, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
    a48::cuda_on_host::check_guards();
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* memory, int byte, std::size_t bytes, cudaStream_t stream) {
  return a48::cuda_on_host::put(stream, [=] {
    std::memset(memory, byte, bytes);
    a48::cuda_on_host::check_guards();
    return cudaSuccess;
  });
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid argument";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"the CPU, one fiber a thread", 8, 0};
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new char;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete static_cast<char*>(stream);
  return cudaSuccess;
}

// A wait during a capture is an error, as on a GPU.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  using namespace a48::cuda_on_host;
  return captured != nullptr && stream == captured_stream ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  using namespace a48::cuda_on_host;
  if (captured != nullptr || stream == nullptr) return cudaErrorInvalidValue;
  captured = new CapturedWork;
  captured_stream = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = std::exchange(a48::cuda_on_host::captured, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CapturedWork(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& step : executable->steps)
    if (const cudaError_t error = step(); error != cudaSuccess) return error;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new std::chrono::steady_clock::time_point;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *event = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(*end - *begin).count();
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
