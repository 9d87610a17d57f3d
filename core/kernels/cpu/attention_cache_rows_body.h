// Kernel-internal: attention over stored keys and values for the Vector and the Codes of the including file
// (codes_*.h). A unit is one key/value head in one chunk of 256 positions, for a tile of rows; its keys and
// values are taken apart once for up to kMostQueries queries: heads that share it (GQA), and rows of a
// prefill. The same in obvious loops: attention_cache_rows_reference.cpp.
#pragma once

#include <cstdint>

#include "core/kernels/api.h"
#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/cache_scale.h"
#include "core/kernels/cpu/chunked_softmax_body.h"
#include "core/kernels/cpu/dot_rows_body.h"
#include "core/kernels/cpu/scratch.h"
#include "core/kernels/table.h"

// The two hot loops stand alone, so that their registers are their own.
#define A48_HOT_LOOP __attribute__((noinline))

namespace a48::kernels::cpu {
namespace {

constexpr int kChunk = kAttentionChunk;
static_assert(kChunk == quant::kCacheChunk);
constexpr int kBlock = quant::kCacheBlock;
constexpr int kWidth = Vector::kWidth;
constexpr std::int64_t kLine = 64, kPage = 4096;  // bytes
/// What fits the registers: four Vectors of value sums for each.
constexpr int kMostQueries = kWidth == 16 ? 4 : 2;

/// Where each loop finds what it fetches while it reads, in bytes from here: the stream that is read next,
/// and the scales of the next unit, since those of keys and values are read together.
struct Ahead {
  std::int64_t stream, unit;
};

/// Rows of codes: keys, or values, of one head in one chunk; or one row that stands for all.
template <int kBits>
struct CodeRows {
  static constexpr int kLevels = quant::cache_max_code(kBits);  // L
  static constexpr std::int64_t kBlockBytes = kBits * kBlock / 8;
  const std::uint8_t* rows;
  const quant::F16* gamma;
  Ahead ahead;
  std::int64_t row_bytes, whole_blocks, blocks;
  int rest;  // groups of 8 channels in the last block, 0: it is whole

  CodeRows(std::uint8_t* stream, std::int64_t head_dim, std::int64_t capacity, std::int64_t, Ahead next)
      : ahead(next) {
    const quant::CacheStream s = quant::cache_stream(kBits, head_dim, capacity, stream);
    rows = s.rows;
    gamma = s.gamma;
    row_bytes = capacity == 1 ? 0 : s.row_bytes;
    whole_blocks = head_dim / kBlock;
    rest = static_cast<int>((head_dim % kBlock + 7) / 8);
    blocks = whole_blocks + (rest > 0);
  }
  template <bool kWhole>
  static A48_INLINE Codes codes(const std::uint8_t* at, int part, int rest) {
    return kWhole ? load_block<kBits>(at, part) : load_rest<kBits>(at, rest, part);
  }
  /// x[r] = u of channels 16r + kWidth·part + lane of the block that begins at `at`.
  template <bool kWhole>
  static A48_INLINE void load(const std::uint8_t* at, int part, int rest, Vector (&x)[4]) {
    const Codes c = codes<kWhole>(at, part, rest);
    for (int r = 0; r < 4; ++r) x[r] = level<kBits>(c, r);
  }
  /// step[t] = γ_t/L, rounded as a division: a test goes through all γ.
  A48_INLINE void steps(int count, float* step) const {
    const Vector levels = Vector::broadcast(-static_cast<float>(kLevels));
    const Vector inverse = Vector::broadcast(1.0f / static_cast<float>(kLevels));
    for (int t = 0; t < count; t += kWidth) {
      __builtin_prefetch(reinterpret_cast<const std::uint8_t*>(gamma + t) + ahead.unit);
      const Vector g = load_f16(gamma + t), near = g * inverse;
      multiply_add(multiply_add(levels, near, g), inverse, near).store(step + t);
    }
  }
  A48_INLINE float first_step() const { return quant::cache_step(kBits, quant::widen(gamma[0])); }
};

/// Rows of floats, fp32 or fp16 (T); their step is 1, and multiplying by it changes no bit.
template <typename T>
struct FloatRows {
  static constexpr int kLevels = 0;
  static constexpr std::int64_t kBlockBytes = kBlock * std::int64_t{sizeof(T)};
  const std::uint8_t* rows;
  Ahead ahead;
  std::int64_t row_bytes, whole_blocks, blocks;
  int rest;  // channels in the last block, 0: it is whole

  FloatRows(std::uint8_t* stream, std::int64_t head_dim, std::int64_t, std::int64_t positions, Ahead next)
      : ahead(next) {
    rows = stream;
    row_bytes = head_dim * std::int64_t{sizeof(T)};
    // Many rows: a page ahead, since the first-level cache does not hold them all.
    if (positions * row_bytes > 4 * kPage) ahead.stream = kPage;
    whole_blocks = head_dim / kBlock;
    rest = static_cast<int>(head_dim % kBlock);
    blocks = whole_blocks + (rest > 0);
  }
  template <bool kWhole>
  static A48_INLINE void load(const std::uint8_t* at, int part, int rest, Vector (&x)[4]) {
    for (int r = 0; r < 4; ++r) {
      const int channel = 16 * r + kWidth * part, here = rest - channel;
      const T* p = reinterpret_cast<const T*>(at) + channel;
      x[r] = kWhole ? load_float(p) : load_first_float(p, here < 0 ? 0 : (here < kWidth ? here : kWidth));
    }
  }
  static A48_INLINE void steps(int count, float* step) {
    for (int t = 0; t < count; t += kWidth) Vector::broadcast(1.0f).store(step + t);
  }

  static A48_INLINE Vector load_float(const float* p) { return Vector::load(p); }
  static A48_INLINE Vector load_float(const quant::F16* p) { return load_f16(p); }
  static A48_INLINE Vector load_first_float(const float* p, int n) { return Vector::load_first(p, n); }
  /// What follows the row is finite too, and meets zeros of the query and channels that nobody reads.
  static A48_INLINE Vector load_first_float(const quant::F16* p, int n) {
    return n == 0 ? Vector::zero() : load_f16(p);
  }
};

/// Queries as their products need them, zeros behind hd, and what is made of them; per-thread memory.
struct Queries {
  float* x;                      // [kMostQueries][blocks·64]
  std::int8_t* codes;            // the same, in the order of Codes
  float scale[kMostQueries];     // σ, or s_q·σ
  float code_sum[kMostQueries];  // Σ codes
  float *score, *weight;         // [kMostQueries][kChunk]: becomes e_t; e_t·s_v[t]
  float *key_step, *value_step;  // [kChunk]
  // Whose queries stand there: so many from this head of this row on. Of use to the chunks that follow.
  std::int64_t row = -1, head = -1;
  int loaded = 0;

  explicit Queries(std::int64_t head_dim) {
    const std::int64_t width = (head_dim + kBlock - 1) / kBlock * kBlock;
    const std::int64_t floats = kMostQueries * (width + 2 * kChunk) + 2 * kChunk;
    x = reinterpret_cast<float*>(thread_scratch(std::int64_t{sizeof(float)} * floats + kMostQueries * width));
    codes = reinterpret_cast<std::int8_t*>(x + floats);
    score = x + kMostQueries * width;
    weight = score + kMostQueries * kChunk;
    key_step = weight + kMostQueries * kChunk;
    value_step = key_step + kChunk;
  }
};

/// The 32 lanes of a dot product.
struct LaneSums {
  Vector group[kGroups];
  static A48_INLINE LaneSums zero() {
    LaneSums sums;
    for (Vector& g : sums.group) g = Vector::zero();
    return sums;
  }
};

/// sums[m·kRows + i] += query m · the block of row i.
template <int kQueries, int kRows, bool kWhole, typename Source>
A48_INLINE void add_block(const Source& keys, const std::uint8_t* at, const float* q, std::int64_t q_stride,
                          LaneSums (&sums)[kQueries * kRows]) {
  for (int i = 0; i < kRows; ++i) {
    for (int part = 0; part < kCodeParts; ++part) {
      Vector x[4];
      keys.template load<kWhole>(at + i * keys.row_bytes, part, keys.rest, x);
      for (int r = 0; r < 4; ++r) {
        const int inside = 16 * r + kWidth * part, group = inside % kLanes / kWidth;
        for (int m = 0; m < kQueries; ++m) {
          Vector& sum = sums[m * kRows + i].group[group];
          sum = multiply_add(Vector::load(q + m * q_stride + inside), x[r], sum);
        }
      }
    }
  }
}
/// sum[m] = query m · the row at `at`.
template <int kQueries, bool kWhole, typename Source>
A48_INLINE void add_code_block(const Source& keys, const std::uint8_t* at, const std::int8_t* q,
                               std::int64_t q_stride, CodeSums (&sum)[kQueries]) {
  for (int part = 0; part < kCodeParts; ++part) {
    const Codes c = keys.template codes<kWhole>(at, part, keys.rest);
    for (int m = 0; m < kQueries; ++m) sum[m] = add_products(sum[m], c, q + m * q_stride + part * 4 * kWidth);
  }
}
/// kBlocks: so many whole blocks and no rest, for loops without a branch; 0: any.
template <int kQueries, int kBlocks, typename Source>
A48_INLINE void code_sums(const Source& keys, const std::uint8_t* at, const std::int8_t* q,
                          std::int64_t q_stride, CodeSums (&sum)[kQueries]) {
  const std::int64_t whole = kBlocks > 0 ? kBlocks : keys.whole_blocks;
  for (CodeSums& s : sum) s = CodeSums::zero();
  for (std::int64_t block = 0; block < whole; ++block)
    add_code_block<kQueries, true>(keys, at + block * Source::kBlockBytes, q + block * kBlock, q_stride, sum);
  if (kBlocks == 0 && keys.rest > 0)
    add_code_block<kQueries, false>(keys, at + whole * Source::kBlockBytes, q + whole * kBlock, q_stride,
                                    sum);
}
/// Lane m·kWidth/kQueries + i: query m · row i.
template <int kQueries, int kBlocks, typename Source>
A48_INLINE Vector code_scores(const Source& keys, const std::uint8_t* at, const std::int8_t* q,
                              std::int64_t q_stride) {
  constexpr int kRows = kFolded / kQueries;  // that stand in one of `four`, for all queries
  CodeSums four[4];
  for (int i = 0; i < 4; ++i) {
    CodeSums sums[kFolded];
    for (int j = 0; j < kRows; ++j) {
      CodeSums sum[kQueries];
      code_sums<kQueries, kBlocks>(keys, at + (i + 4 * j) * keys.row_bytes, q, q_stride, sum);
      for (int m = 0; m < kQueries; ++m) sums[m * kRows + j] = sum[m];
    }
    four[i] = fold(sums);
  }
  return total_of_each(four);
}

/// sums[m·kRows + i] = query m · row i.
template <int kQueries, int kRows, typename Source>
A48_INLINE void add_rows(const Source& keys, const std::uint8_t* at, const float* q, std::int64_t q_stride,
                         LaneSums (&sums)[kQueries * kRows]) {
  for (LaneSums& s : sums) s = LaneSums::zero();
  for (std::int64_t block = 0; block < keys.whole_blocks; ++block)
    add_block<kQueries, kRows, true>(keys, at + block * Source::kBlockBytes, q + block * kBlock, q_stride,
                                     sums);
  if (keys.rest > 0)
    add_block<kQueries, kRows, false>(keys, at + keys.whole_blocks * Source::kBlockBytes,
                                      q + keys.whole_blocks * kBlock, q_stride, sums);
}

/// score[m][t] for t = 0 … count-1 and some behind them, not yet scaled. Integer: Σ q·code.
template <int kQueries, bool kInteger, int kBlocks, typename Source>
A48_HOT_LOOP void raw_scores_of(const Source& rows, int count, const Queries& q, float* score) {
  constexpr int kEach = kWidth / kQueries;  // positions whose sums fill a Vector
  const Source keys = rows;
  const std::int64_t q_stride = keys.blocks * kBlock;
  for (std::int64_t t = 0; t < count; t += kEach) {
    const std::uint8_t* at = keys.rows + t * keys.row_bytes;
    for (std::int64_t byte = 0; byte < kEach * keys.row_bytes; byte += kLine)
      __builtin_prefetch(at + keys.ahead.stream + byte);
    Vector totals;
    if constexpr (kInteger) {
      totals = code_scores<kQueries, kBlocks>(keys, at, q.codes, q_stride);
    } else {
      constexpr int kRows = (kWidth == 16 ? 8 : 2) / kQueries;  // what fits the registers
      Vector folded[kWidth];
      for (int i = 0; i < kEach; i += kRows) {
        LaneSums sums[kQueries * kRows];
        add_rows<kQueries, kRows>(keys, at + i * keys.row_bytes, q.x, q_stride, sums);
        for (int m = 0; m < kQueries; ++m) {
          for (int j = 0; j < kRows; ++j) {
            fold_groups(sums[m * kRows + j].group);
            folded[m * kEach + i + j] = sums[m * kRows + j].group[0];
          }
        }
      }
      totals = sum_each(folded);
    }
    if constexpr (kQueries == 1) {
      totals.store(score + t);
    } else {
      float all[kWidth];
      totals.store(all);
      for (int m = 0; m < kQueries; ++m)
        for (int i = 0; i < kEach; ++i) score[m * kChunk + t + i] = all[m * kEach + i];
    }
  }
}

template <int kQueries, bool kInteger, typename Source>
A48_INLINE void raw_scores(const Source& keys, int count, const Queries& q, float* score) {
  if constexpr (kInteger) {
    if (keys.rest == 0 && keys.whole_blocks == 1)
      return raw_scores_of<kQueries, true, 1>(keys, count, q, score);
    if (keys.rest == 0 && keys.whole_blocks == 2)
      return raw_scores_of<kQueries, true, 2>(keys, count, q, score);
  }
  raw_scores_of<kQueries, kInteger, 0>(keys, count, q, score);
}

/// (Σ q·u·scale)·s_k, with Σ q·u = 2·Σ q·code − L·Σ q for integers (all exact in fp32).
template <bool kInteger>
A48_INLINE Vector scaled(Vector raw, const Queries& q, int m, int levels, Vector step) {
  if constexpr (kInteger) raw = raw + raw - Vector::broadcast(q.code_sum[m] * static_cast<float>(levels));
  return raw * Vector::broadcast(q.scale[m]) * step;
}

template <int kQueries, bool kInteger, typename Source>
void scores(const Source& keys, const CodeRows<4>* first, int count, const Queries& q) {
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

/// acc[m][channel] = fma(e_t·s_v[t], u, acc) over ascending t, for the part of a block that begins at `at`.
template <int kQueries, bool kWhole, typename Source>
A48_HOT_LOOP void sum_values(const Source& rows, const std::uint8_t* at, const CodeRows<4>* first,
                             const std::uint8_t* first_at, int part, int count, const float* weight,
                             float* const* acc) {
  const std::int64_t row_bytes = rows.row_bytes;
  const std::int64_t ahead = rows.ahead.stream;
  const int rest = rows.rest;
  Vector sum[kQueries][4];
  for (auto& each : sum)
    for (Vector& s : each) s = Vector::zero();
  int t = 0;
  if (first != nullptr) {
    Vector x[4];
    first->load<kWhole>(first_at, part, first->rest, x);
    for (int m = 0; m < kQueries; ++m)
      for (int r = 0; r < 4; ++r)
        sum[m][r] = multiply_add(Vector::broadcast(weight[m * kChunk]), x[r], sum[m][r]);
    ++t;
  }
  at += t * row_bytes;
  for (; t < count; ++t, at += row_bytes) {
    if (part == 0)
      for (std::int64_t byte = 0; byte < Source::kBlockBytes; byte += kLine)
        __builtin_prefetch(at + ahead + byte);
    Vector x[4];
    Source::template load<kWhole>(at, part, rest, x);
    for (int m = 0; m < kQueries; ++m) {
      const Vector w = Vector::broadcast(weight[m * kChunk + t]);
      for (int r = 0; r < 4; ++r) sum[m][r] = multiply_add(w, x[r], sum[m][r]);
    }
  }
  for (int m = 0; m < kQueries; ++m)
    for (int r = 0; r < 4; ++r) sum[m][r].store(acc[m] + 16 * r + kWidth * part);
}

template <int kQueries, typename Source>
void values(const Source& rows, const CodeRows<4>* first, int count, const float* weight,
            float* (&acc)[kQueries]) {
  for (std::int64_t block = 0; block < rows.blocks; ++block) {
    const std::uint8_t* at = rows.rows + block * Source::kBlockBytes;
    const std::uint8_t* first_at =
        first == nullptr ? nullptr : first->rows + block * CodeRows<4>::kBlockBytes;
    for (int part = 0; part < kCodeParts; ++part) {
      if (block < rows.whole_blocks) {
        sum_values<kQueries, true>(rows, at, first, first_at, part, count, weight, acc);
      } else {
        sum_values<kQueries, false>(rows, at, first, first_at, part, count, weight, acc);
      }
    }
    for (float*& each : acc) each += kBlock;
  }
}

/// One key/value head in one chunk, and the queries that see it: `heads` heads of each of the rows, which
/// belong to one sequence.
struct Unit {
  const AttentionCachePart* part;
  std::int64_t first_row, rows, first_head, heads, chunk;
  std::uint8_t *keys, *values, *first_key,
      *first_value;               // streams; the last two nullptr where there are none
  const std::uint8_t* next_keys;  // of the unit that follows

  A48_INLINE std::int64_t row_of(std::int64_t query) const { return first_row + query / heads; }
  A48_INLINE std::int64_t head_of(std::int64_t query) const { return first_head + query % heads; }
  /// Positions of the chunk that it sees, >= 1.
  A48_INLINE int count_of(std::int64_t query) const {
    const std::int64_t left = part->rows.kv[row_of(query)].length - chunk * kChunk;
    return static_cast<int>(left < kChunk ? left : kChunk);
  }
};

A48_INLINE void load_float_query(const float* x, std::int64_t head_dim, std::int64_t width, float* to) {
  for (std::int64_t i = 0; i < width; i += kWidth) {
    const std::int64_t rest = head_dim - i;
    Vector::load_first(x + i, static_cast<int>(rest < 0 ? 0 : (rest < kWidth ? rest : kWidth))).store(to + i);
  }
}

/// Codes and step of the query head that stands in `x`: INT8 absmax, or the u of the 4-bit cache code.
template <int kQueryBits>
float quantize_query(const float* x, std::int64_t head_dim, std::int64_t width, std::int8_t* to,
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
  CodeSums sums[kFolded], four[4];
  for (CodeSums& s : sums) s = CodeSums::zero();
  for (std::int64_t i = 0; i < width; i += 4 * kWidth) sums[0] = add_products(sums[0], all_ones(), to + i);
  for (CodeSums& f : four) f = fold(sums);
  float total[kWidth];
  total_of_each(four).store(total);
  *code_sum = total[0];
  return kQueryBits == 8 ? quant::step_of(kInt8, stat) : scale.step();
}

/// Makes q hold the queries from `query` on, and their steps times σ.
template <int kQueries, bool kInteger>
void load_queries(const Unit& unit, std::int64_t query, Queries& q) {
  const AttentionCacheRows& rows = unit.part->rows;
  const std::int64_t row = unit.row_of(query), head = unit.head_of(query);
  if (q.row == row && q.head == head && q.loaded == kQueries) return;
  q.row = row, q.head = head, q.loaded = kQueries;
  const std::int64_t hd = rows.layout.head_dim, width = (hd + kBlock - 1) / kBlock * kBlock;
  for (int m = 0; m < kQueries; ++m) {
    float* x = q.x + m * width;
    load_float_query(rows.q.row(unit.row_of(query + m)) + unit.head_of(query + m) * hd, hd, width, x);
    q.scale[m] = score_scale(hd);
    if constexpr (kInteger) {
      std::int8_t* codes = q.codes + m * width;
      q.scale[m] *= rows.q_bits == 8 ? quantize_query<8>(x, hd, width, codes, &q.code_sum[m])
                                     : quantize_query<4>(x, hd, width, codes, &q.code_sum[m]);
    }
  }
}

template <int kQueries, bool kInteger, typename Source>
void attend_queries(const Unit& unit, std::int64_t query, const Source& keys, const Source& value_rows,
                    const CodeRows<4>* first_key, const CodeRows<4>* first_value, Queries& q) {
  const AttentionCachePart& part = *unit.part;
  int most = 0;  // positions
  for (int m = 0; m < kQueries; ++m) most = most > unit.count_of(query + m) ? most : unit.count_of(query + m);
  load_queries<kQueries, kInteger>(unit, query, q);
  scores<kQueries, kInteger>(keys, first_key, most, q);

  float* acc[kQueries];
  for (int m = 0; m < kQueries; ++m) {
    const std::int64_t entry = unit.row_of(query + m) * part.rows.heads + unit.head_of(query + m);
    const std::int64_t at = entry * part.chunks + unit.chunk;
    const int count = unit.count_of(query + m);
    float *score = q.score + m * kChunk, *weight = q.weight + m * kChunk;
    part.max[at] = close_scores(score, count);
    part.sum[at] = chunk_exp(score, count, part.max[at]);
    // Positions that another row sees and this one does not weigh +0: that changes no bit of its sums.
    for (int t = static_cast<int>(padded(count, kLanes)); t < most; ++t) score[t] = 0.0f;
    for (int t = 0; t < most; t += kWidth)
      (Vector::load(score + t) * Vector::load(q.value_step + t)).store(weight + t);
    if (first_value != nullptr) weight[0] = score[0] * first_value->first_step();
    acc[m] = part.acc + at * part.acc_stride;
  }
  values<kQueries>(value_rows, first_value, most, q.weight, acc);
}

template <bool kInteger, typename Source>
void attend_unit(const Unit& unit, Queries& q) {
  const AttentionCachePart& part = *unit.part;
  const std::int64_t hd = part.rows.layout.head_dim;
  const int most = unit.count_of(unit.rows * unit.heads - 1);
  const std::int64_t next = unit.next_keys - unit.keys;
  const Source keys(unit.keys, hd, kChunk, most, {unit.values - unit.keys, next});
  const Source value_rows(unit.values, hd, kChunk, most, {unit.next_keys - unit.values, next});
  // Not looked at where their streams are nullptr.
  const CodeRows<4> first_key(unit.first_key, hd, 1, 1, {}), first_value(unit.first_value, hd, 1, 1, {});
  const CodeRows<4>* const fk = unit.first_key != nullptr ? &first_key : nullptr;
  const CodeRows<4>* const fv = unit.first_value != nullptr ? &first_value : nullptr;

  keys.steps(most, q.key_step);
  value_rows.steps(most, q.value_step);

  std::int64_t query = 0;
  const std::int64_t end = unit.rows * unit.heads;
  if constexpr (kMostQueries >= 4)
    for (; query + 4 <= end; query += 4)
      attend_queries<4, kInteger>(unit, query, keys, value_rows, fk, fv, q);
  for (; query + 2 <= end; query += 2) attend_queries<2, kInteger>(unit, query, keys, value_rows, fk, fv, q);
  for (; query < end; ++query) attend_queries<1, kInteger>(unit, query, keys, value_rows, fk, fv, q);
}

void attend_stored(const Unit& unit, Queries& q) {
  const bool integer = unit.part->rows.q_bits < 16;
  switch (unit.part->rows.layout.bits) {
    case 32:
      return attend_unit<false, FloatRows<float>>(unit, q);
    case 16:
      return attend_unit<false, FloatRows<quant::F16>>(unit, q);
    case 4:
      return integer ? attend_unit<true, CodeRows<4>>(unit, q) : attend_unit<false, CodeRows<4>>(unit, q);
    default:
      return integer ? attend_unit<true, CodeRows<3>>(unit, q) : attend_unit<false, CodeRows<3>>(unit, q);
  }
}

/// The keys of a unit for its first row, or nullptr where that does not see the chunk.
A48_INLINE std::uint8_t* keys_of(const AttentionCachePart& part, const AttentionCachePart::Unit& at,
                                 std::int64_t row) {
  const CacheView& view = part.rows.kv[row];
  if (view.length <= at.chunk * kChunk) return nullptr;
  return view.chunk[at.chunk] + view.offset + 2 * at.kv_head * stream_bytes(part.rows.layout);
}

A48_INLINE void attention_cache_sums_body(const AttentionCachePart& part, std::int64_t begin,
                                          std::int64_t end) {
  const CacheLayout& layout = part.rows.layout;
  const std::int64_t rows = part.rows.q.rows;
  const std::int64_t stream = stream_bytes(layout), first_stream = first_stream_bytes(layout);
  Queries queries(layout.head_dim);
  for (std::int64_t i = begin; i < end; ++i) {
    const AttentionCachePart::Unit at = part.unit(i);
    Unit unit{};
    unit.part = &part;
    unit.chunk = at.chunk;
    unit.heads = part.rows.heads / layout.kv_heads;
    unit.first_head = at.kv_head * unit.heads;
    const std::int64_t tile_end = at.first_row + kCacheRowTile < rows ? at.first_row + kCacheRowTile : rows;
    const std::uint8_t* next = nullptr;
    if (i + 1 < end) {
      const AttentionCachePart::Unit after = part.unit(i + 1);
      next = keys_of(part, after, after.first_row);
    }
    for (std::int64_t row = at.first_row; row < tile_end; row += unit.rows) {
      // Neighbours of the same sequence whose lengths ascend, as those of a prefill.
      const CacheView& view = part.rows.kv[row];
      unit.first_row = row;
      unit.rows = 1;
      unit.keys = keys_of(part, at, row);
      if (unit.keys == nullptr) continue;
      for (; row + unit.rows < tile_end; ++unit.rows) {
        const CacheView& next_view = part.rows.kv[row + unit.rows];
        if (next_view.chunk != view.chunk || next_view.length < part.rows.kv[row + unit.rows - 1].length)
          break;
      }
      unit.values = unit.keys + stream;
      unit.next_keys = next != nullptr ? next : unit.values;
      const bool apart = unit.chunk == 0 && view.first != nullptr;
      unit.first_key = apart ? view.first + 2 * at.kv_head * first_stream : nullptr;
      unit.first_value = apart ? unit.first_key + first_stream : nullptr;
      attend_stored(unit, queries);
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

#undef A48_HOT_LOOP
