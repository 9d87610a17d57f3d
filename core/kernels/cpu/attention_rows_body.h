// Kernel-internal: attention_rows for the Vector of the including file (vector_*.h): kWidth positions a step
// for the scores, kWidth channels a register for the values. The same in obvious loops:
// attention_rows_reference.cpp.
#pragma once

#include <cstdint>

#include "core/base/fmath.h"
#include "core/kernels/api.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/dot_rows_body.h"
#include "core/kernels/cpu/scratch.h"

namespace a48::kernels::cpu {
namespace {

constexpr std::int64_t padded(std::int64_t count, int unit) { return (count + unit - 1) / unit * unit; }

/// One query head: its query and output, and its keys and values.
struct Query {
  const float* q;  // [hd]
  const float* k;  // position t at k + t·stride
  const float* v;
  std::int64_t stride, length, head_dim;
  float* y;  // [hd]
};

/// Per-thread memory of one query head; `chunks` of each.
struct Workspace {
  double* sum;   // Z_c
  float* max;    // m_c
  float* acc;    // acc_c at acc + c·padded(hd, kWidth)
  float* score;  // [kAttentionChunk]; becomes e_t

  Workspace(std::int64_t head_dim, std::int64_t chunks) {
    const std::int64_t channels = padded(head_dim, Vector::kWidth);
    const std::int64_t floats = chunks * (channels + 1) + kAttentionChunk;
    sum = reinterpret_cast<double*>(
        thread_scratch(chunks * std::int64_t{sizeof(double)} + floats * std::int64_t{sizeof(float)}));
    acc = reinterpret_cast<float*>(sum + chunks);
    max = acc + chunks * channels;
    score = max + chunks;
  }
};

/// score[t] for the `count` positions from k on; then -inf up to a multiple of 32, whose exp is +0. Returns
/// the largest.
A48_INLINE float chunk_scores(const Query& a, const float* k, int count, float* score) {
  const Vector sigma = Vector::broadcast(score_scale(a.head_dim));
  for (int t = 0; t < count; t += Vector::kWidth)
    (dot_rows(a.q, k + t * a.stride, a.stride, count - t, a.head_dim) * sigma).store(score + t);
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

/// acc[i] = fma(e_t, v_t[i], acc[i]) over ascending t for kRegisters·kWidth channels, of which the last
/// register has `last`.
template <int kRegisters, bool kWhole>
A48_INLINE void sum_values(const float* e, int count, const float* v, std::int64_t stride, int last,
                           float* acc) {
  Vector sum[kRegisters];
  for (Vector& s : sum) s = Vector::zero();
  for (int t = 0; t < count; ++t, v += stride) {
    const Vector weight = Vector::broadcast(e[t]);
    for (int i = 0; i < kRegisters; ++i) {
      const float* p = v + i * Vector::kWidth;
      sum[i] = multiply_add(weight, kWhole ? Vector::load(p) : Vector::load_first(p, last), sum[i]);
    }
  }
  for (int i = 0; i < kRegisters; ++i) sum[i].store(acc + i * Vector::kWidth);
}

A48_INLINE void chunk_values(const Query& a, const float* v, const float* e, int count, float* acc) {
  constexpr int w = Vector::kWidth;
  std::int64_t d = 0;
  for (; d + 8 * w <= a.head_dim; d += 8 * w) sum_values<8, true>(e, count, v + d, a.stride, w, acc + d);
  for (; d + 4 * w <= a.head_dim; d += 4 * w) sum_values<4, true>(e, count, v + d, a.stride, w, acc + d);
  for (; d + w <= a.head_dim; d += w) sum_values<1, true>(e, count, v + d, a.stride, w, acc + d);
  if (d < a.head_dim)
    sum_values<1, false>(e, count, v + d, a.stride, static_cast<int>(a.head_dim - d), acc + d);
}

/// y = (Σ_c w_c·acc_c)·fp32(1/Z), w_c = exp(m_c − m).
A48_INLINE void merge_chunks(const Query& a, const Workspace& work, std::int64_t chunks) {
  float max = work.max[0];
  for (std::int64_t c = 1; c < chunks; ++c) max = work.max[c] > max ? work.max[c] : max;
  double sum = 0.0;
  for (std::int64_t c = 0; c < chunks; ++c) {
    work.max[c] = a48::exp_f32(work.max[c] - max);
    sum += static_cast<double>(work.max[c]) * work.sum[c];
  }
  const Vector inverse = Vector::broadcast(static_cast<float>(1.0 / sum));
  const std::int64_t channels = padded(a.head_dim, Vector::kWidth);
  for (std::int64_t d = 0; d < a.head_dim; d += Vector::kWidth) {
    Vector o = Vector::zero();
    for (std::int64_t c = 0; c < chunks; ++c)
      o = multiply_add(Vector::broadcast(work.max[c]), Vector::load(work.acc + c * channels + d), o);
    const std::int64_t rest = a.head_dim - d;
    (o * inverse).store_first(a.y + d, static_cast<int>(rest < Vector::kWidth ? rest : Vector::kWidth));
  }
}

A48_INLINE void attend(const Query& a, const Workspace& work) {
  const std::int64_t channels = padded(a.head_dim, Vector::kWidth);
  std::int64_t chunk = 0;
  for (std::int64_t t = 0; t < a.length; t += kAttentionChunk, ++chunk) {
    const int count = static_cast<int>(a.length - t < kAttentionChunk ? a.length - t : kAttentionChunk);
    work.max[chunk] = chunk_scores(a, a.k + t * a.stride, count, work.score);
    work.sum[chunk] = chunk_exp(work.score, count, work.max[chunk]);
    chunk_values(a, a.v + t * a.stride, work.score, count, work.acc + chunk * channels);
  }
  merge_chunks(a, work, chunk);
}

A48_INLINE void attention_rows_body(const AttentionRows& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t hd = args.head_dim;
  for (std::int64_t unit = begin; unit < end; ++unit) {
    const std::int64_t head = unit / args.q.rows, row = unit % args.q.rows;
    const KeyValueView& kv = args.kv[row];
    float* y = args.y.row(row) + head * hd;
    if (kv.length == 0) {
      for (std::int64_t i = 0; i < hd; ++i) y[i] = 0.0f;
      continue;
    }
    const Workspace work(hd, padded(kv.length, kAttentionChunk) / kAttentionChunk);
    const std::int64_t offset = key_value_head(args, head) * hd;
    attend({args.q.row(row) + head * hd, kv.k + offset, kv.v + offset, kv.stride, kv.length, hd, y}, work);
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
