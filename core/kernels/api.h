// What each kernel takes, and the functions to call: arguments are views and plain numbers, sizes and strides
// in elements. Every function runs on the best level present (table.h), splits its work over base/parallel,
// and gives the same bits on every CPU level, for any number of threads and whatever the other rows are
// (kernels.md X1–X4). Rows may be 0. The definition of each, in obvious loops: core/quant/reference.h.
#pragma once

#include <cstdint>

#include "core/base/view.h"
#include "core/quant/scheme.h"

namespace a48::kernels {

inline constexpr std::uint8_t kRowFinite = 0;
inline constexpr std::uint8_t kRowNonFinite =
    1;  // NaN or Inf in the row; its codes are 0 and its step that of an all-zero row

/// stat[r] = statistic of row r, clamped below (numerics.md 2, E1, E2); status as above.
struct StatRows {
  Rows<const float> x;  // [R, K]
  quant::Scheme scheme;
  float* stat;           // [R]
  std::uint8_t* status;  // [R]
};
void stat_rows(const StatRows& args);

/// codes[r, k] = encode(x[r, k] · inv(stat[r])); FP4 codes are doubled integers. step[r] = d.
struct EncodeRows {
  Rows<const float> x;  // [R, K]
  quant::Scheme scheme;
  const float* stat;           // [R]
  const std::uint8_t* status;  // [R]
  Rows<std::int8_t> codes;     // [R, K]
  float* step;                 // [R]
  std::int32_t* code_sum;      // [R] sum of the row's codes
};
void encode_rows(const EncodeRows& args);

/// mask[r, k] = 1 for exactly `keep` entries of largest |x| (bit pattern), ties to the lowest index
/// (numerics.md 2.2).
struct TopkRows {
  Rows<const float> x;      // [R, K]
  std::int64_t keep;        // 1 … K
  Rows<std::uint8_t> mask;  // [R, K]
};
void topk_rows(const TopkRows& args);

/// Statistic, optional TopK and codes in one pass; equal to topk, stat and encode in turn.
struct QuantizeRows {
  Rows<const float> x;  // [R, K]
  quant::Scheme scheme;
  std::int64_t keep = 0;    // survivors of TopK per row; 0 = all
  Rows<std::int8_t> codes;  // [R, K]
  float* step;              // [R]
  std::int32_t* code_sum;   // [R]
  std::uint8_t* status;     // [R]
};
void quantize_rows(const QuantizeRows& args);

/// 4-bit codes <-> bytes [R, ceil(K/2)]: even index in the low nibble, odd K padded with 0; INT4 two's
/// complement, FP4 sign-magnitude grid index (numerics.md 2, 2.1; core/quant/pack.h).
struct Pack4Rows {
  quant::Scheme scheme;
  Rows<const std::int8_t> codes;  // [R, K]
  Rows<std::uint8_t> packed;      // [R, ceil(K/2)]
};
void pack4_rows(const Pack4Rows& args);
struct Unpack4Rows {
  quant::Scheme scheme;
  Rows<const std::uint8_t> packed;  // [R, ceil(K/2)]
  Rows<std::int8_t> codes;          // [R, K]
};
void unpack4_rows(const Unpack4Rows& args);

/// Codes as floats for the backward products: q[r, k] = float(code). Reads int8 codes, or packed 4-bit ones.
struct CodesToFloat {
  quant::Scheme scheme;             // int8 or ternary: `codes`; a 4-bit scheme: `packed`
  Rows<const std::int8_t> codes;    // [R, K] or empty
  Rows<const std::uint8_t> packed;  // [R, ceil(K/2)] or empty
  Rows<float> q;                    // [R, K]
};
void codes_to_float(const CodesToFloat& args);

/// α = max(mean|W|, ε_c) with the sums of E2; t = clamp(rne(w · (1/α))). A NaN or Inf weight: status
/// kRowNonFinite, codes 0.
struct TernarizeWeight {
  Rows<const float> weight;  // [N, K] fp32 master
  Rows<std::int8_t> codes;   // [N, K] in {-1, 0, +1}
  float* alpha;              // [1]
  std::uint8_t* status;      // [1]
};
void ternarize_weight(const TernarizeWeight& args);

/// y[r, n] = float(Σ_k codes[r, k]·weight[n, k]) · (step[r]·α), exact integer sums (numerics.md 4.1).
struct GemmTernary {
  Rows<const std::int8_t> codes;   // [R, K]
  int max_magnitude;               // bound of |codes|: row_of(scheme).max_magnitude
  const float* step;               // [R]
  const std::int32_t* code_sum;    // [R]
  Rows<const std::int8_t> weight;  // [N, K] in {-1, 0, +1}
  float alpha;
  Rows<float> y;  // [R, N]
};
void gemm_ternary(const GemmTernary& args);

/// S = fp64 lane sum of double(x)², r = fp32(1/√(S/K + eps)), y = (x·r)·gain (numerics.md 3).
struct RmsNormRows {
  Rows<const float> x;  // [R, K]
  const float* gain;    // [K]
  double eps;
  Rows<float> y;       // [R, K]
  float* inverse_rms;  // [R], or nullptr
};
void rms_norm_rows(const RmsNormRows& args);

/// dx = r·(g ⊙ dy) − x·(r³/K)·Σ(g ⊙ dy ⊙ x); dgain[k] += Σ_r dy·x·r. The same bits for any number of threads.
struct RmsNormBackwardRows {
  Rows<const float> x, dy;   // [R, K]
  const float* gain;         // [K]
  const float* inverse_rms;  // [R]
  Rows<float> dx;            // [R, K]
  float* dgain;              // [K]
};
void rms_norm_backward_rows(const RmsNormBackwardRows& args);

enum class GluKind { relu2, silu };
/// relu2: f = (r·r)·u, r = max(gate, 0), +0 wherever gate <= 0 (NaN gates stay NaN); silu: f = (gate / (1 +
/// exp(−gate)))·u.
struct GluRows {
  GluKind kind;
  Rows<const float> gate, up;  // [R, F]
  Rows<float> y;               // [R, F]
};
void glu_rows(const GluRows& args);
/// relu2: dup = dy·r², dgate = dy·up·2r; silu: the exact derivative.
struct GluBackwardRows {
  GluKind kind;
  Rows<const float> gate, up, dy;  // [R, F]
  Rows<float> dgate, dup;          // [R, F]
};
void glu_backward_rows(const GluBackwardRows& args);

/// Half-split rotation of every head: with j = i + hd/2, x_i ← x_i·cos − x_j·sin, x_j ← x_j·cos + x_i·sin; in
/// place allowed. Tables: rope_table.h. `inverse` rotates back (the derivative).
struct RopeRows {
  Rows<const float> x;           // [R, heads·hd]
  Rows<float> y;                 // [R, heads·hd]
  const std::int32_t* position;  // [R]
  std::int64_t heads, head_dim;
  Rows<const float> cos, sin;  // [positions, hd/2]
  bool inverse = false;
};
void rope_rows(const RopeRows& args);

/// Keys and values that one query row sees: positions 0 … length−1 of its own sequence; head j of position t
/// starts at k + t·stride + j·head_dim.
struct KeyValueView {
  const float* k;
  const float* v;
  std::int64_t stride;
  std::int64_t length;  // 0 gives a zero row
};
/// Exact attention of numerics.md 5.2 with fp32 keys and values: scores by lane sum with fma times σ =
/// fp32(1/√hd), softmax and values in chunks of 256 positions, chunks merged in order. GQA: key/value head j
/// serves query heads j·m … j·m+m−1.
struct AttentionRows {
  Rows<const float> q;     // [R, H·hd]
  const KeyValueView* kv;  // [R]
  std::int64_t heads, kv_heads, head_dim;
  Rows<float> y;  // [R, H·hd]
};
void attention_rows(const AttentionRows& args);

/// logits[r, v] = lane sum with fma of x[r, ·]·weight[v, ·] (numerics E3).
struct HeadRows {
  Rows<const float> x;       // [R, D]
  Rows<const float> weight;  // [V, D]
  Rows<float> logits;        // [R, V]
};
void head_rows(const HeadRows& args);

/// Zeros among codes, for sparsity reports; serial.
std::int64_t count_zero_codes(Rows<const std::int8_t> codes);

}  // namespace a48::kernels
