// Attention as numerics.md 5.2 writes it, one query head at a time.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/fmath.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {
namespace {

struct Chunk {
  float max;               // m_c
  double sum;              // Z_c
  std::vector<float> acc;  // [hd]
};

/// Scores of positions t0 … t0+scores.size()-1, and their values from v.
Chunk attend_chunk(const std::vector<float>& scores, const float* v, std::int64_t stride,
                   std::int64_t head_dim) {
  Chunk c;
  c.max = *std::max_element(scores.begin(), scores.end());
  std::vector<float> e;
  for (const float score : scores) e.push_back(exp_f32(score - c.max));
  c.sum = lane_sum<double>(static_cast<std::int64_t>(e.size()), [&](std::int64_t t) {
    return static_cast<double>(e[static_cast<std::size_t>(t)]);
  });
  c.acc.assign(static_cast<std::size_t>(head_dim), 0.0f);
  for (std::size_t t = 0; t < e.size(); ++t) {
    for (std::size_t i = 0; i < c.acc.size(); ++i)
      c.acc[i] =
          std::fma(e[t], v[static_cast<std::int64_t>(t) * stride + static_cast<std::int64_t>(i)], c.acc[i]);
  }
  return c;
}

void attend_head(const float* q, const KeyValueView& kv, std::int64_t offset, std::int64_t head_dim,
                 float* y) {
  const float sigma = score_scale(head_dim);
  std::vector<Chunk> chunks;
  for (std::int64_t t0 = 0; t0 < kv.length; t0 += kAttentionChunk) {
    std::vector<float> scores;
    for (std::int64_t t = t0; t < std::min(t0 + kAttentionChunk, kv.length); ++t)
      scores.push_back(lane_dot(q, kv.k + t * kv.stride + offset, head_dim) * sigma);
    chunks.push_back(attend_chunk(scores, kv.v + t0 * kv.stride + offset, kv.stride, head_dim));
  }

  std::fill_n(y, head_dim, 0.0f);
  if (chunks.empty()) return;
  float max = chunks[0].max;
  for (const Chunk& c : chunks) max = std::max(max, c.max);
  double sum = 0.0;
  for (const Chunk& c : chunks) {
    const float weight = exp_f32(c.max - max);
    sum += static_cast<double>(weight) * c.sum;
    for (std::int64_t i = 0; i < head_dim; ++i)
      y[i] = std::fma(weight, c.acc[static_cast<std::size_t>(i)], y[i]);
  }
  const float inverse = static_cast<float>(1.0 / sum);
  for (std::int64_t i = 0; i < head_dim; ++i) y[i] *= inverse;
}

}  // namespace

void attention_rows_reference(const AttentionRows& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t unit = begin; unit < end; ++unit) {
    const std::int64_t head = unit / a.q.rows, row = unit % a.q.rows;
    attend_head(a.q.row(row) + head * a.head_dim, a.kv[row], key_value_head(a, head) * a.head_dim, a.head_dim,
                a.y.row(row) + head * a.head_dim);
  }
}

}  // namespace a48::kernels::cpu
