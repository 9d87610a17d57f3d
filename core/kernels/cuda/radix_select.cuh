// TopK of one row by one block: where the cut lies (numerics.md 2.2, core/quant/topk.h), without a sort.
// Three digits of the magnitude bits, highest first: count the digits of the entries still in question, find
// the bin that holds the last survivor, go on with the entries of that bin.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/kernels/cuda/reduce.cuh"
#include "core/quant/topk.h"

namespace a48::kernels::cuda {

inline constexpr int kMostBins = 2048;

struct RadixScratch {
  std::uint32_t count[kMostBins];
  PerWarp<std::uint32_t> per_warp;
  std::uint32_t bin, above, equal;
};

struct Cut {
  quant::TopkCut of_row;  // bits of the last survivor, survivors among the entries equal to it
  std::int64_t equal;     // entries equal to it
};

/// for_each(visit) calls visit(bits) for this thread's entries; the block's threads share all entries of the
/// row among them. 1 <= keep <= number of entries. The block has 64 to 1024 threads, a power of two.
template <typename ForEach>
__device__ Cut select_in_block(std::int64_t keep, RadixScratch& scratch, ForEach for_each) {
  std::uint32_t prefix = 0, fixed = 0;  // the digits found so far, and which bits they are
  std::uint32_t remaining = static_cast<std::uint32_t>(keep);
  std::uint32_t equal = 0;
  for (int shift = 20; shift >= 0; shift -= 10) {  // digits of 11, 10, 10 bits
    const std::uint32_t last_bin = shift == 20 ? kMostBins - 1 : kMostBins / 2 - 1;
    for (int bin = thread_of_block(); bin < kMostBins; bin += threads_of_block()) scratch.count[bin] = 0;
    __syncthreads();
    for_each([&](std::uint32_t bits) {
      if ((bits & fixed) == prefix) atomicAdd(&scratch.count[bits >> shift & last_bin], 1u);
    });
    __syncthreads();

    // Thread 0 has the highest bins, so that "before" is "above".
    const int bins = kMostBins / threads_of_block();
    const int highest = kMostBins - 1 - thread_of_block() * bins;
    std::uint32_t own = 0;
    for (int i = 0; i < bins; ++i) own += scratch.count[highest - i];
    const Place place = place_in_block(own, scratch.per_warp);
    if (place.before < remaining && remaining <= place.before + own) {  // true for one thread
      std::uint32_t above = place.before;
      int bin = highest;
      while (above + scratch.count[bin] < remaining) above += scratch.count[bin--];
      scratch.bin = static_cast<std::uint32_t>(bin);
      scratch.above = above;
      scratch.equal = scratch.count[bin];
    }
    __syncthreads();
    remaining -= scratch.above;
    equal = scratch.equal;
    prefix |= scratch.bin << shift;
    fixed |= last_bin << shift;
  }
  return {{prefix, static_cast<std::int64_t>(remaining)}, static_cast<std::int64_t>(equal)};
}

}  // namespace a48::kernels::cuda
