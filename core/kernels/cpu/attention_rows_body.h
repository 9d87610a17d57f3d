// Kernel-internal: attention_rows for the Vector of the including file (vector_*.h): kWidth positions a step
// for the scores, kWidth channels a register for the values. The same in obvious loops:
// attention_rows_reference.cpp.
#pragma once

#include <cstdint>

#include "core/base/fmath.h"
#include "core/kernels/api.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/chunked_softmax_body.h"
#include "core/kernels/cpu/dot_rows_body.h"
#include "core/kernels/cpu/scratch.h"

namespace a48::kernels::cpu {
namespace {

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
  ChunkSums part;
  float* score;  // [kAttentionChunk]; becomes e_t

  Workspace(std::int64_t head_dim, std::int64_t chunks) {
    const std::int64_t channels = padded(head_dim, Vector::kWidth);
    const std::int64_t floats = chunks * (channels + 1) + kAttentionChunk;
    double* sum = reinterpret_cast<double*>(
        thread_scratch(chunks * std::int64_t{sizeof(double)} + floats * std::int64_t{sizeof(float)}));
    float* acc = reinterpret_cast<float*>(sum + chunks);
    part = {sum, acc + chunks * channels, acc, channels};
    score = part.max + chunks;
  }
};

/// score[t] for the `count` positions from k on; then -inf up to a multiple of 32, whose exp is +0. Returns
/// the largest.
A48_INLINE float chunk_scores(const Query& a, const float* k, int count, float* score) {
  const Vector sigma = Vector::broadcast(score_scale(a.head_dim));
  for (int t = 0; t < count; t += Vector::kWidth)
    (dot_rows(a.q, k + t * a.stride, a.stride, count - t, a.head_dim) * sigma).store(score + t);
  return close_scores(score, count);
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

A48_INLINE void attend(const Query& a, const Workspace& work) {
  std::int64_t chunk = 0;
  for (std::int64_t t = 0; t < a.length; t += kAttentionChunk, ++chunk) {
    const int count = static_cast<int>(a.length - t < kAttentionChunk ? a.length - t : kAttentionChunk);
    work.part.max[chunk] = chunk_scores(a, a.k + t * a.stride, count, work.score);
    work.part.sum[chunk] = chunk_exp(work.score, count, work.part.max[chunk]);
    chunk_values(a, a.v + t * a.stride, work.score, count, work.part.acc + chunk * work.part.stride);
  }
  merge_chunks(work.part, chunk, a.head_dim, a.y);
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
