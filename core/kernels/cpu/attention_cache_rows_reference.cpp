// Attention over stored keys and values as numerics.md 5.2 writes it: one query head at a time.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/fmath.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/reference.h"

namespace a48::kernels::cpu {
namespace {

/// u (or the stored float) of each channel, and s (or 1).
struct Stored {
  std::vector<float> u;
  float step;
};

Stored stored_row(int bits, std::uint8_t* stream, std::int64_t capacity, std::int64_t t, std::int64_t hd) {
  const quant::CacheStream s = quant::cache_stream(bits, hd, capacity, stream);
  Stored row{std::vector<float>(static_cast<std::size_t>(hd)), 1.0f};
  const quant::F16 gamma = s.gamma == nullptr ? quant::F16{} : s.gamma[t];
  row.step = quant::reference_levels_of_cache_row(bits, s.rows + t * s.row_bytes, gamma, hd, row.u.data());
  return row;
}

/// Key (which = 0) or value (1) of position t.
Stored stored_at(const CacheLayout& layout, const CacheView& view, std::int64_t kv_head, std::int64_t which,
                 std::int64_t t) {
  if (t == 0 && view.first != nullptr)
    return stored_row(layout.first_bits, view.first + (2 * kv_head + which) * first_stream_bytes(layout), 1,
                      0, layout.head_dim);
  return stored_row(
      layout.bits,
      view.chunk[t / kAttentionChunk] + view.offset + (2 * kv_head + which) * stream_bytes(layout),
      kAttentionChunk, t % kAttentionChunk, layout.head_dim);
}

void sum_chunk(const AttentionCachePart& part, std::int64_t row, std::int64_t head, std::int64_t chunk) {
  const AttentionCacheRows& a = part.rows;
  const CacheView& view = a.kv[row];
  const std::int64_t hd = a.layout.head_dim, kv_head = head / (a.heads / a.layout.kv_heads);
  const std::int64_t begin = chunk * kAttentionChunk, end = std::min(begin + kAttentionChunk, view.length);
  if (begin >= end) return;

  const float sigma = score_scale(hd);
  const float* q = a.q.row(row) + head * hd;
  std::vector<std::int8_t> codes(static_cast<std::size_t>(hd));
  const float query_step = quant::reference_quantize_query(a.q_bits, q, hd, codes.data());
  std::vector<float> score;
  for (std::int64_t t = begin; t < end; ++t) {
    const Stored key = stored_at(a.layout, view, kv_head, 0, t);
    if (a.q_bits == 16) {
      score.push_back(lane_dot(q, key.u.data(), hd) * sigma * key.step);
      continue;
    }
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) sum += codes[i] * static_cast<std::int32_t>(key.u[i]);
    score.push_back(static_cast<float>(sum) * (query_step * sigma) * key.step);
  }

  const std::int64_t at = (row * a.heads + head) * part.chunks + chunk;
  const float max = *std::max_element(score.begin(), score.end());
  for (float& e : score) e = exp_f32(e - max);
  part.max[at] = max;
  part.sum[at] = lane_sum<double>(
      end - begin, [&](std::int64_t t) { return static_cast<double>(score[static_cast<std::size_t>(t)]); });
  float* acc = part.acc + at * part.acc_stride;
  std::fill_n(acc, hd, 0.0f);
  for (std::int64_t t = begin; t < end; ++t) {
    const Stored value = stored_at(a.layout, view, kv_head, 1, t);
    const float weight = score[static_cast<std::size_t>(t - begin)] * value.step;
    for (std::int64_t i = 0; i < hd; ++i)
      acc[i] = std::fma(weight, value.u[static_cast<std::size_t>(i)], acc[i]);
  }
}

}  // namespace

void attention_cache_sums_reference(const AttentionCachePart& part, std::int64_t begin, std::int64_t end) {
  const std::int64_t rows = part.rows.q.rows, group = part.rows.heads / part.rows.layout.kv_heads;
  for (std::int64_t i = begin; i < end; ++i) {
    const AttentionCachePart::Unit unit = part.unit(i);
    for (std::int64_t row = unit.first_row; row < std::min(unit.first_row + kCacheRowTile, rows); ++row)
      for (std::int64_t head = unit.kv_head * group; head < (unit.kv_head + 1) * group; ++head)
        sum_chunk(part, row, head, unit.chunk);
  }
}

void attention_cache_merge_reference(const AttentionCachePart& part, std::int64_t begin, std::int64_t end) {
  const std::int64_t hd = part.rows.layout.head_dim;
  for (std::int64_t unit = begin; unit < end; ++unit) {
    const std::int64_t row = unit / part.rows.heads, head = unit % part.rows.heads;
    const std::int64_t first = unit * part.chunks;
    const std::int64_t last = first + (part.rows.kv[row].length + kAttentionChunk - 1) / kAttentionChunk;
    const float max = *std::max_element(part.max + first, part.max + last);
    float* y = part.rows.y.row(row) + head * hd;
    std::fill_n(y, hd, 0.0f);
    double sum = 0.0;
    for (std::int64_t c = first; c < last; ++c) {
      const float weight = exp_f32(part.max[c] - max);
      sum += static_cast<double>(weight) * part.sum[c];
      for (std::int64_t i = 0; i < hd; ++i) y[i] = std::fma(weight, part.acc[c * part.acc_stride + i], y[i]);
    }
    const float inverse = static_cast<float>(1.0 / sum);
    for (std::int64_t i = 0; i < hd; ++i) y[i] *= inverse;
  }
}

}  // namespace a48::kernels::cpu
