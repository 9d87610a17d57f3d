// The calls of the CUDA runtime that our host code makes: memory with guards, and launches (machine.h).
#include <cuda_runtime.h>

#include <map>
#include <new>

#include "core/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace a48::cuda_on_host {
namespace {

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

cudaError_t launch(const void* kernel, const cudaLaunchConfig_t& config, const std::function<void()>& body) {
  constexpr unsigned kMostBlocksYZ = 65535;
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  const auto allowed = shared_of.find(kernel);
  const std::size_t most_shared = allowed == shared_of.end() ? kSharedDefault : allowed->second;
  if (threads == 0 || threads > kMostThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffffu || grid.y > kMostBlocksYZ || grid.z > kMostBlocksYZ ||
      config.dynamicSmemBytes > most_shared)
    return cudaErrorInvalidValue;
  run_grid(grid, block, config.dynamicSmemBytes, body);
  check_guards();
  return cudaSuccess;
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

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  a48::cuda_on_host::check_guards();
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int byte, std::size_t bytes, cudaStream_t) {
  std::memset(memory, byte, bytes);
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid argument";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
