// Kernel-internal: the softmax of numerics.md 5.2 over chunks of 256 positions, for the Vector of the
// including file (vector_*.h): what attention_rows_body.h and attention_cache_rows_body.h share.
#pragma once

#include <cstdint>

#include "core/base/fmath.h"
#include "core/kernels/cpu/attention_rows.h"

namespace a48::kernels::cpu {
namespace {

A48_INLINE constexpr std::int64_t padded(std::int64_t count, int unit) {
  return (count + unit - 1) / unit * unit;
}

/// The chunks of one query head; `stride` is a multiple of kWidth.
struct ChunkSums {
  double* sum;  // Z_c
  float* max;   // m_c
  float* acc;   // acc_c at acc + c·stride
  std::int64_t stride;
};

/// Writes -inf behind the `count` scores up to a multiple of 32, whose exp is +0. Returns the largest.
A48_INLINE float close_scores(float* score, int count) {
  const int end = static_cast<int>(padded(count, kLanes));
  for (int t = count; t < end; ++t) score[t] = -__builtin_inff();
  Vector max = Vector::load(score);
  for (int t = Vector::kWidth; t < end; t += Vector::kWidth) max = maximum(max, Vector::load(score + t));
  return largest_lane(max);
}

/// score[t] becomes e_t = exp(score[t] − max); returns Z_c.
A48_INLINE double chunk_exp(float* score, int count, float max) {
  const Vector m = Vector::broadcast(max);
  double lane[kLanes] = {};
  for (int t = 0; t < count; t += kLanes) {
    for (int g = 0; g < kLanes; g += Vector::kWidth)
      exp_f32(Vector::load(score + t + g) - m).store(score + t + g);
    for (int l = 0; l < kLanes; ++l) lane[l] += static_cast<double>(score[t + l]);
  }
  return fold_lanes(lane);
}

/// y = (Σ_c w_c·acc_c)·fp32(1/Z), w_c = exp(m_c − m). `max` becomes w_c.
A48_INLINE void merge_chunks(const ChunkSums& part, std::int64_t chunks, std::int64_t head_dim, float* y) {
  float max = part.max[0];
  for (std::int64_t c = 1; c < chunks; ++c) max = part.max[c] > max ? part.max[c] : max;
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c) {
    part.max[c] = a48::exp_f32(part.max[c] - max);
    sum += static_cast<double>(part.max[c]) * part.sum[c];
  }
  const Vector inverse = Vector::broadcast(static_cast<float>(1.0 / sum));
  for (std::int64_t d = 0; d < head_dim; d += Vector::kWidth) {
    Vector o = Vector::zero();
    for (std::int64_t c = 0; c < chunks; ++c)
      o = multiply_add(Vector::broadcast(part.max[c]), Vector::load(part.acc + c * part.stride + d), o);
    const std::int64_t rest = head_dim - d;
    (o * inverse).store_first(y + d, static_cast<int>(rest < Vector::kWidth ? rest : Vector::kWidth));
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
