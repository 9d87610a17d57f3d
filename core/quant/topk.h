// TopK: which entries of a token survive (numerics.md 2.2). Entries rank by the bits of |x|, descending;
// equal ones by index, ascending; exactly `keep` survive. The oracle counts ranks (reference.cpp); kernels
// find a TopkCut.
//
// Worked example, keep = 3: x = (2, -1, 1, 0, -1): 2 survives, then of the three of magnitude 1 the first
// two; cut = {bits of 1, ties 2}, mask = (1, 1, 1, 0, 0).
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace a48::quant {

/// k = clamp(⌊keep·width + 0.5⌋, 1, width) for a kept share in (0, 1].
A48_INLINE std::int64_t topk_count(double keep, std::int64_t width) {
  const std::int64_t count = static_cast<std::int64_t>(keep * static_cast<double>(width) + 0.5);
  return count < 1 ? 1 : (count > width ? width : count);
}

/// Does entry a stand before entry b?
A48_INLINE bool topk_outranks(std::uint32_t bits_a, std::int64_t index_a, std::uint32_t bits_b,
                              std::int64_t index_b) {
  return bits_a > bits_b || (bits_a == bits_b && index_a < index_b);
}

/// The survivors are the entries above `bits`, and the first `ties` of those equal to it (all, when there are
/// fewer).
struct TopkCut {
  std::uint32_t bits;
  std::int64_t ties;
};

/// Bisects the magnitudes. count_from(t) = number of entries with bits >= t; `largest` = bits of the row
/// maximum; 1 <= keep <= width = count_from(0). Ends early at a threshold that splits the row exactly, after
/// about 16 counts on ordinary rows, after 31 at most; no sort, no scratch memory.
template <typename CountFrom>
A48_INLINE TopkCut find_topk_cut(std::uint32_t largest, std::int64_t width, std::int64_t keep,
                                 CountFrom count_from) {
  std::uint32_t low = 0, high = largest + 1;  // count_from(low) >= keep > count_from(high)
  std::int64_t above = 0;                     // count_from(high)
  if (keep >= width) return {0, width};       // every zero is a tie
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    const std::int64_t count = count_from(middle);
    if (count == keep) return {middle - 1, 0};
    if (count > keep) {
      low = middle;
    } else {
      high = middle;
      above = count;
    }
  }
  return {low, keep - above};
}

}  // namespace a48::quant
