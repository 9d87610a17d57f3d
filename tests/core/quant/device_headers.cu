// Compiled, never run: the headers that host and device share are accepted by nvcc, for every architecture of
// the build, and their functions can be called from a kernel.
#include "core/base/fmath.h"
#include "core/base/rng.h"
#include "core/quant/math.h"
#include "core/quant/pack.h"
#include "core/quant/scheme.h"
#include "core/quant/topk.h"

namespace a48::quant {

/// One row of `width` values per thread: TopK, then int4 codes, packed two per byte.
__global__ void quantize_row_of_thread(SchemeRow row, const float* x, std::int64_t width, std::int64_t keep,
                                       std::uint8_t* packed, float* steps) {
  const float* values = x + static_cast<std::int64_t>(threadIdx.x) * width;
  std::uint8_t* bytes = packed + static_cast<std::int64_t>(threadIdx.x) * packed4_bytes(width);
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < width; ++i) {
    const std::uint32_t bits = magnitude_bits(values[i]);
    largest = bits > largest ? bits : largest;
  }
  const TopkCut cut = find_topk_cut(largest, width, keep, [&](std::uint32_t threshold) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < width; ++i) count += magnitude_bits(values[i]) >= threshold;
    return count;
  });
  const float statistic = clamp_statistic(from_bits(largest));
  const float inv = inv_of(row, statistic);
  for (std::int64_t i = 0; i + 1 < width; i += 2) {
    const int even = magnitude_bits(values[i]) > cut.bits ? encode(row, values[i], inv) : 0;
    const int odd = magnitude_bits(values[i + 1]) > cut.bits ? encode(row, values[i + 1], inv) : 0;
    bytes[i / 2] = pack_pair(row.kind, even, odd);
  }
  const std::uint64_t bits = random_bits(48, 0, threadIdx.x);
  steps[threadIdx.x] = epilogue(static_cast<std::int32_t>(bits & 1), step_of(row, statistic), 1.0f);
}

}  // namespace a48::quant
