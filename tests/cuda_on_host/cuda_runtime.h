// Our stand-in for the CUDA toolkit's header of this name, found before it when g++ compiles a .cu: the
// words, built-in variables and functions that our kernels use, with the meaning of the CUDA programming
// guide, on fibers (machine.h). Not the whole of CUDA: what no kernel uses is not here.
#pragma once

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "tests/cuda_on_host/machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// One copy, filled with poison before each block. The compiler ignores sections of templates' variables, so
// kernels that are templates take dynamic shared memory (launch.cuh).
#define __shared__ static __attribute__((section("a48_shared_memory")))

// Vector types, aligned as on the device.
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

struct dim3 : a48::cuda_on_host::Index {
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : Index{x_, y_, z_} {}
};

// --- Barriers and warps

inline void __syncthreads(a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  a48::cuda_on_host::block_barrier(where);
}

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  a48::cuda_on_host::collective(
      "__syncwarp", mask, nullptr, [](unsigned, void* const*, a48::cuda_on_host::Where) {}, where);
}

namespace a48::cuda_on_host {

template <typename T>
struct LaneValue {
  T in;
  unsigned source;  // lane to read, of shuffles
  T out;
};

template <typename T>
T shuffle(const char* name, unsigned mask, T value, unsigned source, Where where) {
  LaneValue<T> mine{value, source, value};
  collective(
      name, mask, &mine,
      [](unsigned members, void* const* lanes, Where at) {
        for (unsigned l = 0; l < kWarp; ++l) {
          if ((members >> l & 1) == 0) continue;
          LaneValue<T>& lane = *static_cast<LaneValue<T>*>(lanes[l]);
          if ((members >> lane.source & 1) == 0) fault("a shuffle reads a lane outside its mask", at);
          lane.out = static_cast<LaneValue<T>*>(lanes[lane.source])->in;
        }
      },
      where);
  return mine.out;
}

/// Every lane gets the fold of all lanes' values.
template <typename T, typename Fold>
T fold_lanes_of_warp(const char* name, unsigned mask, T value, Fold, Where where) {
  LaneValue<T> mine{value, 0, value};
  collective(
      name, mask, &mine,
      [](unsigned members, void* const* lanes, Where) {
        bool first = true;
        T total{};
        for (unsigned l = 0; l < kWarp; ++l) {
          if ((members >> l & 1) == 0) continue;
          const T in = static_cast<LaneValue<T>*>(lanes[l])->in;
          total = first ? in : Fold{}(total, in);
          first = false;
        }
        for (unsigned l = 0; l < kWarp; ++l)
          if ((members >> l & 1) != 0) static_cast<LaneValue<T>*>(lanes[l])->out = total;
      },
      where);
  return mine.out;
}

inline unsigned lane_of_thread() {
  return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarp;
}

/// ld.global.nc: faults where the device would on an address that is no multiple of the size.
template <typename T>
T load(const T* address, Where where) {
  if (reinterpret_cast<std::uintptr_t>(address) % sizeof(T) != 0)
    fault("a load from an address that is no multiple of its size", where);
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

}  // namespace a48::cuda_on_host

template <typename T>
T __shfl_sync(unsigned mask, T value, int source,
              a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  return a48::cuda_on_host::shuffle("__shfl_sync", mask, value, static_cast<unsigned>(source) % 32, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits,
                  a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  return a48::cuda_on_host::shuffle("__shfl_xor_sync", mask, value,
                                    a48::cuda_on_host::lane_of_thread() ^ static_cast<unsigned>(bits), where);
}
/// Lanes without a source keep their value.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta,
                 a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  const unsigned lane = a48::cuda_on_host::lane_of_thread();
  return a48::cuda_on_host::shuffle("__shfl_up_sync", mask, value, lane < delta ? lane : lane - delta, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta,
                   a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  const unsigned lane = a48::cuda_on_host::lane_of_thread();
  return a48::cuda_on_host::shuffle("__shfl_down_sync", mask, value, lane + delta > 31 ? lane : lane + delta,
                                    where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  const unsigned bit = predicate != 0 ? 1u << a48::cuda_on_host::lane_of_thread() : 0u;
  return a48::cuda_on_host::fold_lanes_of_warp(
      "__ballot_sync", mask, bit, [](unsigned a, unsigned b) { return a | b; }, where);
}
template <typename T>
T __reduce_add_sync(unsigned mask, T value,
                    a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return a48::cuda_on_host::fold_lanes_of_warp(
      "__reduce_add_sync", mask, value,
      [](T a, T b) { return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b)); }, where);
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value,
                    a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>);
  return a48::cuda_on_host::fold_lanes_of_warp(
      "__reduce_max_sync", mask, value, [](T a, T b) { return a > b ? a : b; }, where);
}

// --- Single instructions

template <typename T>
T __ldg(const T* address, a48::cuda_on_host::Where where = a48::cuda_on_host::Where::current()) {
  return a48::cuda_on_host::load(address, where);
}
inline int __popc(unsigned x) { return std::popcount(x); }
/// Blocks and fibers take turns, so a plain addition is atomic.
template <typename T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = static_cast<T>(old + value);
  return old;
}
template <typename T>
T atomicOr(T* address, T bits) {
  const T old = *address;
  *address = old | bits;
  return old;
}

// --- Runtime

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

// Memory of the "device": poisoned, with guards on both sides that each launch and copy looks at.
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, std::size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int byte, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int* count);
struct cudaDeviceProp {
  char name[256];
  int major, minor;
};
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);

// Streams do their work at once, in order of the calls. While one is captured, its work is taken down
// instead: a graph is a list of it, with the arguments as they were.
constexpr unsigned cudaStreamNonBlocking = 1;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
struct CapturedWork;
using cudaGraph_t = CapturedWork*;
using cudaGraphExec_t = CapturedWork*;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

using cudaEvent_t = std::chrono::steady_clock::time_point*;
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);

namespace a48::cuda_on_host {
cudaError_t allow_shared(const void* kernel, int bytes);
/// Checks the limits of a launch, runs it and looks at the guards; or takes it down. `body` holds its
/// arguments.
cudaError_t launch(const void* kernel, const cudaLaunchConfig_t& config, std::function<void()> body);
}  // namespace a48::cuda_on_host

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  return a48::cuda_on_host::allow_shared(reinterpret_cast<const void*>(kernel), bytes);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  // Each parameter is converted once, and every thread has its own copy.
  return [&](Parameters... parameters) {
    return a48::cuda_on_host::launch(reinterpret_cast<const void*>(kernel), *config,
                                     [=] { kernel(parameters...); });
  }(arguments...);
}
