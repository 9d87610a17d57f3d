// What each kernel takes, and the functions to call: arguments are views and plain numbers, sizes and strides
// in elements. Every function runs on the best level present (table.h), splits its work over base/parallel,
// and gives the same bits on every CPU level, for any number of threads and whatever the other rows are
// (kernels.md X1–X4). Rows may be 0. The definition of each, in obvious loops: core/quant/reference.h.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/view.h"
#include "core/quant/cache.h"
#include "core/quant/pack.h"
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

struct TernaryMatrix;
/// y[r, n] = float(Σ_k codes[r, k]·weight[n, k]) · (step[r]·α), exact integer sums (numerics.md 4.1).
struct GemmTernary {
  Rows<const std::int8_t> codes;   // [R, K]
  int max_magnitude;               // bound of |codes|: row_of(scheme).max_magnitude
  const float* step;               // [R]
  const std::int32_t* code_sum;    // [R]
  Rows<const std::int8_t> weight;  // [N, K] in {-1, 0, +1}
  float alpha;
  Rows<float> y;                          // [R, N]
  const TernaryMatrix* packed = nullptr;  // in place of `weight` and `alpha`, in any layout
};
void gemm_ternary(const GemmTernary& args);

inline constexpr std::int64_t kBf16Inputs = 1024;
/// c = scale·(a·b), or c + scale·(a·b): the products of backward (numerics.md 4.2). Both operands are rounded
/// to bf16, once; codes are exact. Products of two bf16 are exact in fp32. Their fp32 sums have one order:
/// blocks of kBf16Inputs inputs, in each the pairs (k, k + 1) in turn, k + 1 before k; c takes scale times
/// the sum of a block after the other. Numbers below 2^-126 may count as 0, operands and sums alike.
struct GemmBf16 {
  Rows<const float> a;  // [M, I]; [I, M] when `a_transposed`
  bool a_transposed = false;
  const float* a_scale = nullptr;  // [I], with a_transposed: a[k, m]·a_scale[k] in fp32 before it is rounded
  Rows<const float> b;             // [I, N], or one of the next two
  Rows<const std::int8_t> b_codes;    // [I, N], codes of up to 128
  Rows<const std::uint8_t> b_packed;  // [I, ceil(N/2)] of `scheme`
  quant::Scheme scheme = quant::Scheme::int8;
  float scale = 1.0f;
  bool accumulate = false;
  Rows<float> c;  // [M, N]
};
void gemm_bf16(const GemmBf16& args);

/// A packed ternary matrix (formats.md 9), used where it lies: stored rows start at multiples of 64 bytes,
/// and padding holds t = 0. A byte with the invalid code 3 gives some result, never a read out of bounds.
struct TernaryMatrix {
  quant::TernaryLayout layout = quant::TernaryLayout::t2_row;
  std::int64_t rows = 0, cols = 0;  // N outputs, K inputs
  Rows<const std::uint8_t> packed;  // [stored rows, bytes]
  float alpha = 0.0f;
};

/// The quantized input of one token. Codes can be read, and are 0, up to a multiple of kCodePadding.
struct TokenCodes {
  const std::int8_t* codes = nullptr;  // [K]
  int max_magnitude = 127;             // bound of |codes|: row_of(scheme).max_magnitude
  float step = 0.0f;
  std::int32_t code_sum = 0;
};
inline constexpr std::int64_t kCodePadding = 256;

/// y[m][n] = float(Σ_k codes[k]·t[n, k]) · (step·α_m): one token with several T2_ROW4 matrices of the same
/// input (q, k, v; gate), their rows shared out over the threads as one list.
struct GemvTernary {
  TokenCodes input;
  const TernaryMatrix* matrix;  // [matrices], all T2_ROW4 or T2_ROW
  float* const* y;              // [matrices], of matrix[m].rows each
  int matrices;
};
void gemv_ternary(const GemvTernary& args);

/// The same for the listed rows of one T2_ROW matrix; other entries of y are not touched.
struct GemvTernaryRows {
  TokenCodes input;
  TernaryMatrix matrix;
  const std::int32_t* row;  // [count] ascending
  std::int64_t count;
  float* y;  // [N]
};
void gemv_ternary_rows(const GemvTernaryRows& args);

/// One token × one T2_COL matrix: inputs with code 0 are not read. The threads share out the other inputs,
/// each with sums of its own.
struct GemvTernaryColumns {
  TokenCodes input;
  TernaryMatrix matrix;
  std::int32_t* column;     // [K + 8] scratch: the inputs with a code
  Rows<std::int32_t> sums;  // scratch [thread_count(), N rounded up to 256]
  float* y;                 // [N]
};
/// Returns the number of inputs whose code is not 0.
std::int64_t gemv_ternary_columns(const GemvTernaryColumns& args);

/// row[0 … count) = the indices of x[k] > 0, ascending; returns count. Room for n + 8.
std::int64_t list_positive(const float* x, std::int64_t n, std::int32_t* row);

/// S = fp64 lane sum of double(x)², r = fp32(1/√(S/K + eps)), y = (x·r)·gain (numerics.md 3).
struct RmsNormRows {
  Rows<const float> x;  // [R, K]
  const float* gain;    // [K]
  double eps;
  Rows<float> y;       // [R, K]
  float* inverse_rms;  // [R], or nullptr
};
void rms_norm_rows(const RmsNormRows& args);

/// RMSNorm, then statistic, optional TopK and codes, a row at a time: x is read once and no normed row is
/// written to memory. Equal to rms_norm_rows and quantize_rows in turn.
struct NormQuantizeRows {
  Rows<const float> x;  // [R, K]
  const float* gain;    // [K]
  double eps;
  quant::Scheme scheme;
  std::int64_t keep = 0;    // survivors of TopK per row; 0 = all
  Rows<std::int8_t> codes;  // [R, K]
  float* step;              // [R]
  std::int32_t* code_sum;   // [R]
  std::uint8_t* status;     // [R]
};
void norm_quantize_rows(const NormQuantizeRows& args);

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

/// What a key/value cache keeps of each layer (storage: core/quant/cache.h).
struct CacheLayout {
  int bits = 32;       // 32, 16, 4, 3
  int first_bits = 0;  // 4: the first position has a slot of its own; 0: it is one of the others
  std::int64_t kv_heads = 0, head_dim = 0;
};
/// Keys, or values, of one head in a chunk of 256 positions.
A48_INLINE constexpr std::int64_t stream_bytes(const CacheLayout& l) {
  return quant::cache_stream_bytes(l.bits, l.head_dim, quant::kCacheChunk);
}
A48_INLINE constexpr std::int64_t first_stream_bytes(const CacheLayout& l) {
  return l.first_bits == 0 ? 0 : quant::cache_stream_bytes(l.first_bits, l.head_dim, 1);
}
/// Bytes behind the last stream that a kernel may read.
inline constexpr std::int64_t kCacheSlack = 64;

/// The positions 0 … length−1 of one sequence in one layer. In each chunk the heads follow one another, each
/// with the stream of its keys and that of its values; so do they in `first`.
struct CacheView {
  std::uint8_t* const* chunk;  // [⌈length/256⌉]
  std::int64_t offset;         // of the layer in a chunk, bytes
  std::uint8_t* first;         // slot of position 0, or nullptr
  std::int64_t length;         // >= 1
};
inline constexpr std::uint8_t kKeyNonFinite = 1, kValueNonFinite = 2, kQueryNonFinite = 3;
/// Encodes k and v of each row and stores them as position length−1 of its view. status[r] is kRowFinite, or
/// says what is not finite or overflows fp16 where fp16 is stored; such a row is stored as some finite codes.
struct StoreCacheRows {
  CacheLayout layout;
  int q_bits;              // 16, 8, 4: what the queries will become
  Rows<const float> q;     // [R, H·hd]: only looked at, when q_bits < 16
  Rows<const float> k, v;  // [R, KV·hd]
  const CacheView* kv;     // [R]
  std::uint8_t* status;    // [R]
};
void store_cache_rows(const StoreCacheRows& args);

/// Attention over stored keys and values (numerics.md 5.2), each query row over its view; with 32 bits the
/// same bits as attention_rows. Threads share out key/value heads and chunks.
struct AttentionCacheRows {
  CacheLayout layout;
  int q_bits;  // 16: not quantized; 8, 4: integer products, with bits 4 and 3 only
  std::int64_t heads;
  Rows<const float> q;        // [R, H·hd]
  const CacheView* kv;        // [R]
  Rows<float> y;              // [R, H·hd]
  float* scratch;             // 64-byte aligned, of `scratch_size`
  std::int64_t scratch_size;  // floats, >= attention_cache_scratch of the longest row
};
void attention_cache_rows(const AttentionCacheRows& args);
/// Floats that one row over `length` positions needs; with more, more rows are worked on at a time.
std::int64_t attention_cache_scratch(const CacheLayout& layout, std::int64_t heads, std::int64_t length);

/// logits[r, v] = lane sum with fma of x[r, ·]·weight[v, ·] (numerics E3).
struct HeadRows {
  Rows<const float> x;       // [R, D]
  Rows<const float> weight;  // [V, D]
  Rows<float> logits;        // [R, V]
};
void head_rows(const HeadRows& args);

/// The head, and the embedding, as stored (formats.md 9): floats, or integer codes with a scale per row (i8)
/// or per 32 inputs (i6, i4). Stored rows, and rows of group scales, start at multiples of 64 bytes and can
/// be read up to the next one.
enum class HeadClass : int { f32, bf16, i8, i6, i4 };
struct HeadWeight {
  HeadClass kind = HeadClass::f32;
  std::int64_t rows = 0, cols = 0;        // V, D
  Rows<const std::uint8_t> stored;        // [V, bytes]
  const float* row_scale = nullptr;       // i8: [V]
  Rows<const std::uint16_t> group_scale;  // i6, i4: F16 [V, ⌈D/32⌉]
};
/// f32 and bf16: lane sum with fma of x with the (widened) weights. i*: x becomes INT8 absmax codes with step
/// d; i8: float(Σ q·w)·(d·s_v); i6, i4: the 8 lanes of formats.md 9, then ·d. A row of x that is not finite
/// gives no finite logit.
struct PackedHeadRows {
  Rows<const float> x;  // [R, D]
  HeadWeight weight;
  Rows<std::int8_t> codes;  // scratch [R, D rounded up to kCodePadding], zeroed once; for i*
  Rows<float> logits;       // [R, V]
};
void packed_head_rows(const PackedHeadRows& args);
/// y = row `v` of a stored matrix as fp32: floats are widened, codes multiplied with their scale.
void widen_row(const HeadWeight& weight, std::int64_t v, float* y);

/// Zeros among codes, for sparsity reports; serial.
std::int64_t count_zero_codes(Rows<const std::int8_t> codes);

}  // namespace a48::kernels
