// Kernel-internal: dot products of one vector with several rows, by the Vector of the including file
// (vector_*.h): scores of a query, logits of a single token. The order is that of lane_dot
// (core/base/fmath.h). W: float, or quant::Bf16, which is widened as it is read.
#pragma once

#include <cstdint>

#include "core/base/fmath.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kGroups = kLanes / Vector::kWidth;  // registers that hold the 32 lanes of one dot product
constexpr int kSideBySide = 8 / kGroups;  // rows that share a load of x: eight sums keep the fma units busy
static_assert(Vector::kWidth % kSideBySide == 0);

/// Lane l += lane l+16, and l+8 where a Vector has eight: what is left of the 32 lanes is in group[0].
A48_INLINE void fold_groups(Vector (&group)[kGroups]) {
  for (int half = kGroups / 2; half > 0; half /= 2) {
    for (int g = 0; g < half; ++g) group[g] = group[g] + group[g + half];
  }
}

/// folded[j] = the lanes of dot(x, row[j]), folded to one Vector; sum_each ends the sums. `next`: where rows
/// that will be read lie without gaps, which are asked for in their order meanwhile (memory likes one stream
/// better than kSideBySide) for the second-level cache, or nullptr.
template <typename W>
A48_INLINE void dot_side_by_side(const float* x, const W* const (&row)[kSideBySide], std::int64_t width,
                                 Vector* folded, const W* next = nullptr) {
  Vector lanes[kSideBySide][kGroups];
  for (auto& group : lanes) {
    for (Vector& lane : group) lane = Vector::zero();
  }
  std::int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) {
    if (next != nullptr) {
      constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(W));
      for (std::int64_t i = 0; i < kSideBySide * kLanes; i += kLine)
        __builtin_prefetch(next + k * kSideBySide + i, 0, 2);
    }
    for (int g = 0; g < kGroups; ++g) {
      const std::int64_t at = k + g * Vector::kWidth;
      const Vector a = Vector::load(x + at);
      for (int j = 0; j < kSideBySide; ++j)
        lanes[j][g] = multiply_add(a, Vector::load(row[j] + at), lanes[j][g]);
    }
  }
  for (int g = 0; g < kGroups; ++g) {
    const std::int64_t at = k + g * Vector::kWidth;
    if (at >= width) break;
    const int rest = static_cast<int>(width - at < Vector::kWidth ? width - at : Vector::kWidth);
    const Vector a = Vector::load_first(x + at, rest);
    for (int j = 0; j < kSideBySide; ++j)
      lanes[j][g] = multiply_add(a, Vector::load_first(row[j] + at, rest), lanes[j][g]);
  }
  for (int j = 0; j < kSideBySide; ++j) {
    fold_groups(lanes[j]);
    folded[j] = lanes[j][0];
  }
}

/// Lane i: dot(x, row i) of the rows at rows + i·stride, i < count; beyond the end the last one again.
/// kAhead: rows that are asked for ahead of time, 0 = none.
template <int kAhead = 0, typename W>
A48_INLINE Vector dot_rows(const float* x, const W* rows, std::int64_t stride, std::int64_t count,
                           std::int64_t width) {
  Vector folded[Vector::kWidth];
  for (int i = 0; i < Vector::kWidth; i += kSideBySide) {
    const W* row[kSideBySide];
    for (int j = 0; j < kSideBySide; ++j) row[j] = rows + (i + j < count ? i + j : count - 1) * stride;
    dot_side_by_side(x, row, width, folded + i, kAhead > 0 ? rows + (i + kAhead) * stride : nullptr);
  }
  return sum_each(folded);
}

}  // namespace
}  // namespace a48::kernels::cpu
