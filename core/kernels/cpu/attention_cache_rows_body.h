// Kernel-internal: attention over stored keys and values for the Vector and the Codes of the including file
// (codes_*.h). A unit is one key/value head in one chunk of 256 positions; its keys and values are taken
// apart once for up to kMostQueries of its query heads. The same in obvious loops:
// attention_cache_rows_reference.cpp.
#pragma once

#include <cstdint>

#include "core/kernels/api.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/cache_scale.h"
#include "core/kernels/cpu/chunked_softmax_body.h"
#include "core/kernels/cpu/dot_rows_body.h"
#include "core/kernels/cpu/scratch.h"
#include "core/kernels/table.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kChunk = kAttentionChunk;
static_assert(kChunk == quant::kCacheChunk);
constexpr int kBlock = quant::kCacheBlock;
constexpr int kWidth = Vector::kWidth;
/// What fits the registers: four Vectors of sums for each.
constexpr int kMostQueries = kWidth == 16 ? 4 : 2;

/// Rows of codes: keys, or values, of one head in one chunk.
template <int kBits>
struct CodeRows {
  static constexpr int kLevels = quant::cache_max_code(kBits);  // L
  const std::uint8_t* rows;
  const quant::F16* gamma;
  std::int64_t row_bytes, last_row, whole_blocks, blocks;
  int rest_groups;

  A48_INLINE CodeRows(std::uint8_t* stream, std::int64_t head_dim, std::int64_t capacity) {
    const quant::CacheStream s = quant::cache_stream(kBits, head_dim, capacity, stream);
    rows = s.rows;
    gamma = s.gamma;
    row_bytes = s.row_bytes;
    last_row = capacity - 1;
    whole_blocks = head_dim / kBlock;
    rest_groups = static_cast<int>((head_dim % kBlock + 7) / 8);
    blocks = whole_blocks + (rest_groups > 0);
  }
  A48_INLINE Codes codes(std::int64_t t, std::int64_t block, int part) const {
    const std::uint8_t* at = rows + (t < last_row ? t : last_row) * row_bytes + block * (kBits * kBlock / 8);
    return block < whole_blocks ? load_block<kBits>(at, part) : load_rest<kBits>(at, rest_groups, part);
  }
  /// x[r] = u of channels 64·block + 16r + kWidth·part + lane.
  A48_INLINE void load(std::int64_t t, std::int64_t block, int part, Vector (&x)[4]) const {
    const Codes c = codes(t, block, part);
    for (int r = 0; r < 4; ++r) x[r] = level<kBits>(c, r);
  }
  /// step[t] = γ_t/L of the chunk.
  A48_INLINE void steps(int count, float* step) const {
    const Vector levels = Vector::broadcast(static_cast<float>(kLevels));
    for (int t = 0; t < count; t += kWidth) divide(load_f16(gamma + t), levels).store(step + t);
  }
  A48_INLINE float first_step() const { return quant::cache_step(kBits, quant::widen(gamma[0])); }
};

/// Rows of floats, fp32 or fp16 (T); their step is 1, and multiplying by it changes no bit.
template <typename T>
struct FloatRows {
  static constexpr int kLevels = 0;
  const T* rows;
  std::int64_t head_dim, blocks;

  A48_INLINE FloatRows(std::uint8_t* stream, std::int64_t head_dim_, std::int64_t)
      : rows(reinterpret_cast<const T*>(stream)),
        head_dim(head_dim_),
        blocks((head_dim_ + kBlock - 1) / kBlock) {}
  A48_INLINE void load(std::int64_t t, std::int64_t block, int part, Vector (&x)[4]) const {
    const T* at = rows + t * head_dim + block * kBlock + part * kWidth;
    const std::int64_t rest = head_dim - block * kBlock - part * kWidth;
    if (rest >= kBlock - part * kWidth) {
      for (int r = 0; r < 4; ++r) x[r] = load_float(at + 16 * r);
      return;
    }
    for (int r = 0; r < 4; ++r) {
      const std::int64_t here = rest - 16 * r;
      x[r] = load_first_float(at + 16 * r, static_cast<int>(here < 0 ? 0 : (here < kWidth ? here : kWidth)));
    }
  }
  static A48_INLINE void steps(int count, float* step) {
    for (int t = 0; t < count; t += kWidth) Vector::broadcast(1.0f).store(step + t);
  }

  static A48_INLINE Vector load_float(const float* p) { return Vector::load(p); }
  static A48_INLINE Vector load_float(const quant::F16* p) { return load_f16(p); }
  static A48_INLINE Vector load_first_float(const float* p, int n) { return Vector::load_first(p, n); }
  static A48_INLINE Vector load_first_float(const quant::F16* p, int n) {
    quant::F16 all[kWidth] = {};
    for (int i = 0; i < n; ++i) all[i] = p[i];
    return load_f16(all);
  }
};

/// Query heads as their products need them, zeros behind hd, and what is made of them; per-thread memory.
struct Queries {
  float* x;                      // [kMostQueries][blocks·64]
  std::int8_t* codes;            // the same, in the order of Codes
  float scale[kMostQueries];     // σ, or s_q·σ
  float code_sum[kMostQueries];  // Σ codes
  float *score, *weight;         // [kMostQueries][kChunk]: becomes e_t; e_t·s_v[t]
  float *key_step, *value_step;  // [kChunk]
};

/// Σ over channels of query · row t; query m's sum is sums[m·kWidth/kQueries + i].
template <int kQueries, typename Source>
A48_INLINE void float_sums(const Source& keys, std::int64_t t, const Queries& q, int i,
                           Vector (&sums)[kWidth]) {
  Vector lanes[kQueries][kGroups];
  for (auto& lane : lanes)
    for (Vector& group : lane) group = Vector::zero();
  for (std::int64_t block = 0; block < keys.blocks; ++block) {
    for (int part = 0; part < kCodeParts; ++part) {
      Vector x[4];
      keys.load(t, block, part, x);
      for (int r = 0; r < 4; ++r) {
        const int inside = 16 * r + kWidth * part, group = inside % kLanes / kWidth;
        for (int m = 0; m < kQueries; ++m)
          lanes[m][group] = multiply_add(Vector::load(q.x + (m * keys.blocks + block) * kBlock + inside),
                                         x[r], lanes[m][group]);
      }
    }
  }
  for (int m = 0; m < kQueries; ++m) {
    fold_groups(lanes[m]);
    sums[m * (kWidth / kQueries) + i] = lanes[m][0];
  }
}

template <int kQueries, int kBits>
A48_INLINE void code_sums(const CodeRows<kBits>& keys, std::int64_t t, const Queries& q, int i,
                          CodeSums (&sums)[kWidth]) {
  CodeSums sum[kQueries];
  for (CodeSums& s : sum) s = CodeSums::zero();
  for (std::int64_t block = 0; block < keys.blocks; ++block) {
    for (int part = 0; part < kCodeParts; ++part) {
      const Codes c = keys.codes(t, block, part);
      for (int m = 0; m < kQueries; ++m)
        sum[m] = add_products(sum[m], c, q.codes + (m * keys.blocks + block) * kBlock + part * 4 * kWidth);
    }
  }
  for (int m = 0; m < kQueries; ++m) sums[m * (kWidth / kQueries) + i] = sum[m];
}

/// score[m][t …] = the sums of kWidth/kQueries neighbours.
template <int kQueries>
A48_INLINE void put_scores(Vector sums, std::int64_t t, float* score) {
  constexpr int kEach = kWidth / kQueries;
  if constexpr (kQueries == 1) {
    sums.store(score + t);
  } else {
    float all[kWidth];
    sums.store(all);
    for (int m = 0; m < kQueries; ++m)
      for (int i = 0; i < kEach; ++i) score[m * kChunk + t + i] = all[m * kEach + i];
  }
}

/// score[m][t] for t = 0 … count-1 and some behind them, not yet scaled. Integer: Σ q·code.
template <int kQueries, bool kInteger, typename Source>
A48_INLINE void raw_scores(const Source& keys, int count, const Queries& q, float* score) {
  constexpr int kEach = kWidth / kQueries;
  for (std::int64_t t = 0; t < count; t += kEach) {
    if constexpr (kInteger) {
      CodeSums sums[kWidth];
      for (int i = 0; i < kEach; ++i) code_sums<kQueries>(keys, t + i, q, i, sums);
      put_scores<kQueries>(total_of_each(sums), t, score);
    } else {
      Vector sums[kWidth];
      for (int i = 0; i < kEach; ++i) float_sums<kQueries>(keys, t + i, q, i, sums);
      put_scores<kQueries>(sum_each(sums), t, score);
    }
  }
}

/// (Σ q·u·scale)·s_k, with Σ q·u = 2·Σ q·code − L·Σ q for integers (all exact in fp32).
template <bool kInteger>
A48_INLINE Vector scaled(Vector raw, const Queries& q, int m, int levels, Vector step) {
  if constexpr (kInteger) raw = raw + raw - Vector::broadcast(q.code_sum[m] * static_cast<float>(levels));
  return raw * Vector::broadcast(q.scale[m]) * step;
}

template <int kQueries, bool kInteger, typename Source>
A48_INLINE void scores(const Source& keys, const CodeRows<4>* first, int count, const Queries& q) {
  raw_scores<kQueries, kInteger>(keys, count, q, q.score);
  for (int m = 0; m < kQueries; ++m) {
    float* score = q.score + m * kChunk;
    for (int t = 0; t < count; t += kWidth)
      scaled<kInteger>(Vector::load(score + t), q, m, Source::kLevels, Vector::load(q.key_step + t))
          .store(score + t);
  }
  if (first == nullptr) return;
  raw_scores<kQueries, kInteger>(*first, 1, q, q.weight);
  const Vector step = Vector::broadcast(first->first_step());
  for (int m = 0; m < kQueries; ++m)
    scaled<kInteger>(Vector::load(q.weight + m * kChunk), q, m, CodeRows<4>::kLevels, step)
        .store_first(q.score + m * kChunk, 1);
}

/// acc[m][channel] = fma(e_t·s_v[t], u, acc) over ascending t.
template <int kQueries, typename Source>
A48_INLINE void values(const Source& rows, const CodeRows<4>* first, int count, const float* weight,
                       float* const (&acc)[kQueries]) {
  for (std::int64_t block = 0; block < rows.blocks; ++block) {
    for (int part = 0; part < kCodeParts; ++part) {
      Vector sum[kQueries][4], x[4];
      for (auto& each : sum)
        for (Vector& s : each) s = Vector::zero();
      const auto add = [&](int t) __attribute__((always_inline)) {
        for (int m = 0; m < kQueries; ++m) {
          const Vector w = Vector::broadcast(weight[m * kChunk + t]);
          for (int r = 0; r < 4; ++r) sum[m][r] = multiply_add(w, x[r], sum[m][r]);
        }
      };
      int t = 0;
      if (first != nullptr) {
        first->load(0, block, part, x);
        add(t++);
      }
      for (; t < count; ++t) {
        rows.load(t, block, part, x);
        add(t);
      }
      for (int m = 0; m < kQueries; ++m)
        for (int r = 0; r < 4; ++r) sum[m][r].store(acc[m] + block * kBlock + 16 * r + kWidth * part);
    }
  }
}

/// One key/value head in one chunk of one row.
struct Unit {
  const AttentionCachePart* part;
  std::int64_t row, kv_head, chunk;
  int count;  // positions
  std::uint8_t *keys, *values, *first_key,
      *first_value;  // streams; the last two nullptr where there are none
};

A48_INLINE void load_float_query(const float* x, std::int64_t head_dim, std::int64_t width, float* to) {
  for (std::int64_t i = 0; i < width; i += kWidth) {
    const std::int64_t rest = head_dim - i;
    Vector::load_first(x + i, static_cast<int>(rest < 0 ? 0 : (rest < kWidth ? rest : kWidth))).store(to + i);
  }
}

/// Codes and step of the query head that stands in `x`: INT8 absmax, or the u of the 4-bit cache code.
template <int kQueryBits>
A48_INLINE float quantize_query(const float* x, std::int64_t head_dim, std::int64_t width, std::int8_t* to,
                                float* code_sum) {
  constexpr quant::SchemeRow kInt8 = quant::row_of(quant::Scheme::int8);
  LargestBits largest;
  for (std::int64_t i = 0; i < width; i += kWidth) largest.take(Vector::load(x + i));
  const CacheScale scale(4, largest.value());
  const float stat = quant::clamp_statistic(quant::from_bits(largest.value()));
  const Vector inv = Vector::broadcast(quant::inv_of(kInt8, stat));
  for (std::int64_t i = 0; i < width; i += 4 * kWidth) {
    const float* at = x + i / kBlock * kBlock + i % kBlock / 4;
    Vector product[4];
    for (int r = 0; r < 4; ++r) {
      const Vector channels = Vector::load(at + 16 * r);
      product[r] = kQueryBits == 8 ? channels * inv : scale.product(channels);
    }
    const Codes codes = kQueryBits == 8 ? codes_of(product, kInt8.min_code, kInt8.max_code)
                                        : levels_of<4>(codes_of(product, 0, quant::cache_max_code(4)));
    store_bytes(codes, to + i);
  }
  // The cache's codes behind hd are 0 or do not exist; the query's must not reach the sum either.
  for (std::int64_t i = head_dim; i < width; ++i)
    to[i / kBlock * kBlock + quant::cache_byte_of(static_cast<int>(i % kBlock))] = 0;
  CodeSums sums[kWidth];
  for (CodeSums& s : sums) s = CodeSums::zero();
  for (std::int64_t i = 0; i < width; i += 4 * kWidth) sums[0] = add_products(sums[0], all_ones(), to + i);
  float total[kWidth];
  total_of_each(sums).store(total);
  *code_sum = total[0];
  return kQueryBits == 8 ? quant::step_of(kInt8, stat) : scale.step();
}

template <int kQueries, bool kInteger, typename Source>
A48_INLINE void attend_queries(const Unit& unit, const Source& keys, const Source& value_rows,
                               const CodeRows<4>* first_key, const CodeRows<4>* first_value,
                               std::int64_t head, Queries& q) {
  const AttentionCachePart& part = *unit.part;
  const std::int64_t hd = part.rows.layout.head_dim, width = keys.blocks * kBlock;
  const float sigma = score_scale(hd);
  for (int m = 0; m < kQueries; ++m) {
    const float* x = part.rows.q.row(unit.row) + (head + m) * hd;
    float* padded_x = q.x + m * width;
    load_float_query(x, hd, width, padded_x);
    q.scale[m] = sigma;
    if constexpr (kInteger) {
      std::int8_t* codes = q.codes + m * width;
      q.scale[m] *= part.rows.q_bits == 8 ? quantize_query<8>(padded_x, hd, width, codes, &q.code_sum[m])
                                          : quantize_query<4>(padded_x, hd, width, codes, &q.code_sum[m]);
    }
  }
  scores<kQueries, kInteger>(keys, first_key, unit.count, q);

  float* acc[kQueries];
  for (int m = 0; m < kQueries; ++m) {
    const std::int64_t at = (unit.row * part.rows.heads + head + m) * part.chunks + unit.chunk;
    float *score = q.score + m * kChunk, *weight = q.weight + m * kChunk;
    part.max[at] = close_scores(score, unit.count);
    part.sum[at] = chunk_exp(score, unit.count, part.max[at]);
    for (int t = 0; t < unit.count; t += kWidth)
      (Vector::load(score + t) * Vector::load(q.value_step + t)).store(weight + t);
    if (first_value != nullptr) weight[0] = score[0] * first_value->first_step();
    acc[m] = part.acc + at * part.acc_stride;
  }
  values<kQueries>(value_rows, first_value, unit.count, q.weight, acc);
}

template <bool kInteger, typename Source>
A48_INLINE void attend_unit(const Unit& unit) {
  const AttentionCachePart& part = *unit.part;
  const std::int64_t hd = part.rows.layout.head_dim;
  const Source keys(unit.keys, hd, kChunk), value_rows(unit.values, hd, kChunk);
  // Not looked at where their streams are nullptr.
  const CodeRows<4> first_key(unit.first_key, hd, 1), first_value(unit.first_value, hd, 1);
  const CodeRows<4>* const fk = unit.first_key != nullptr ? &first_key : nullptr;
  const CodeRows<4>* const fv = unit.first_value != nullptr ? &first_value : nullptr;

  const std::int64_t width = keys.blocks * kBlock;
  Queries q;
  const std::int64_t floats = kMostQueries * (width + 2 * kChunk) + 2 * kChunk;
  q.x = reinterpret_cast<float*>(thread_scratch(std::int64_t{sizeof(float)} * floats + kMostQueries * width));
  q.codes = reinterpret_cast<std::int8_t*>(q.x + floats);
  q.score = q.x + kMostQueries * width;
  q.weight = q.score + kMostQueries * kChunk;
  q.key_step = q.weight + kMostQueries * kChunk;
  q.value_step = q.key_step + kChunk;
  keys.steps(unit.count, q.key_step);
  value_rows.steps(unit.count, q.value_step);

  const std::int64_t group = part.rows.heads / part.rows.layout.kv_heads;
  std::int64_t head = unit.kv_head * group;
  const std::int64_t end = head + group;
  if constexpr (kMostQueries >= 4)
    for (; head + 4 <= end; head += 4) attend_queries<4, kInteger>(unit, keys, value_rows, fk, fv, head, q);
  for (; head + 2 <= end; head += 2) attend_queries<2, kInteger>(unit, keys, value_rows, fk, fv, head, q);
  for (; head < end; ++head) attend_queries<1, kInteger>(unit, keys, value_rows, fk, fv, head, q);
}

A48_INLINE void attention_cache_sums_body(const AttentionCachePart& part, std::int64_t begin,
                                          std::int64_t end) {
  const CacheLayout& layout = part.rows.layout;
  const std::int64_t rows = part.rows.q.rows, stream = stream_bytes(layout);
  const std::int64_t first_stream = first_stream_bytes(layout);
  const bool integer = part.rows.q_bits < 16;
  for (std::int64_t i = begin; i < end; ++i) {
    Unit unit{};
    unit.part = &part;
    unit.row = i % rows;
    unit.chunk = i / rows % part.chunks;
    unit.kv_head = i / rows / part.chunks;
    const CacheView& view = part.rows.kv[unit.row];
    const std::int64_t left = view.length - unit.chunk * kChunk;
    if (left <= 0) continue;
    unit.count = static_cast<int>(left < kChunk ? left : kChunk);
    unit.keys = view.chunk[unit.chunk] + view.offset + 2 * unit.kv_head * stream;
    unit.values = unit.keys + stream;
    if (unit.chunk == 0 && view.first != nullptr) {
      unit.first_key = view.first + 2 * unit.kv_head * first_stream;
      unit.first_value = unit.first_key + first_stream;
    }
    if (layout.bits == 32) {
      attend_unit<false, FloatRows<float>>(unit);
    } else if (layout.bits == 16) {
      attend_unit<false, FloatRows<quant::F16>>(unit);
    } else if (layout.bits == 4) {
      integer ? attend_unit<true, CodeRows<4>>(unit) : attend_unit<false, CodeRows<4>>(unit);
    } else {
      integer ? attend_unit<true, CodeRows<3>>(unit) : attend_unit<false, CodeRows<3>>(unit);
    }
  }
}

A48_INLINE void attention_cache_merge_body(const AttentionCachePart& part, std::int64_t begin,
                                           std::int64_t end) {
  const std::int64_t heads = part.rows.heads, hd = part.rows.layout.head_dim;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t row = i / heads, head = i % heads, at = i * part.chunks;
    merge_chunks({part.sum + at, part.max + at, part.acc + at * part.acc_stride, part.acc_stride},
                 (part.rows.kv[row].length + kChunk - 1) / kChunk, hd, part.rows.y.row(row) + head * hd);
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
