// What a GPU can do at best, for benchmarks: the rate of reading memory, and the cost of a kernel as such.
#include "core/kernels/cuda/entries.h"
#include "core/kernels/cuda/intrinsics.cuh"
#include "core/kernels/cuda/launch.cuh"
#include "core/kernels/cuda/reduce.cuh"

namespace a48::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLoads = 16;  // of 16 bytes a thread, all under way at the same time
constexpr std::int64_t kBlockPieces = kThreads * kLoads;

__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* data, std::int64_t pieces, std::uint32_t* sum) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kBlockPieces + thread_of_block();
  uint4 loaded[kLoads];
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    const std::int64_t at = first + i * kThreads;
    loaded[i] = at < pieces ? load_once(data + at) : uint4{0, 0, 0, 0};
  }
  unsigned mine = 0;
#pragma unroll
  for (int i = 0; i < kLoads; ++i) mine += loaded[i].x + loaded[i].y + loaded[i].z + loaded[i].w;
  const unsigned of_warp = __reduce_add_sync(kAllLanes, mine);
  if (lane_of_warp() == 0) atomicAdd(sum, of_warp);
}

__global__ void nothing_kernel() {}

}  // namespace

void read_bytes(const ReadArgs& args, Stream stream) {
  constexpr std::int64_t kPieceBytes = sizeof(uint4);
  A48_ASSERT(args.bytes % kPieceBytes == 0, "bytes", args.bytes);
  const std::int64_t pieces = args.bytes / kPieceBytes;
  launch("read_bytes", stream, {(pieces + kBlockPieces - 1) / kBlockPieces, 1, kThreads, 0}, read_kernel,
         static_cast<const uint4*>(args.data), pieces, args.sum);
}

void do_nothing(const NothingArgs&, Stream stream) {
  launch("do_nothing", stream, {1, 1, kWarpThreads, 0}, nothing_kernel);
}

}  // namespace a48::kernels::cuda
