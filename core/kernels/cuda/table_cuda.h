// The CUDA kernels that the rest of the tree may call: argument structs and one entry each. Pointers are
// device pointers; entries put their work on a stream and return. Torch-free and CUDA-free header; the list:
// table_cuda.cu, the kernels: <entry>.cu beside it. Definition of each result: core/quant/reference.h.
//
// Rows of codes have strides that are multiples of 64 and start at multiples of 64 bytes; behind their width
// they are 0 up to the next multiple of 64 (layout.h): kernels write that padding and rely on it. Rows of
// ternary words likewise, with t = 0. Other strides are free.
//
// Exactness (numerics E8): all results equal the CPU's bit for bit, statistics too, because their fp64 sums
// run in lane order; the derivative of the norm alone adds in an order of its own, always the same.
#pragma once

#include <cstdint>

#include "core/base/view.h"
#include "core/kernels/api.h"
#include "core/kernels/cuda/layout.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "core/quant/scheme.h"

namespace a48::kernels::cuda {

using Stream = void*;  // a cudaStream_t

/// fp32 or bf16 rows.
struct ConstFloatRows {
  const void* data = nullptr;
  bool is_bf16 = false;
  std::int64_t rows = 0, cols = 0, stride = 0;  // in elements

  ConstFloatRows() = default;
  ConstFloatRows(Rows<const float> r) : data(r.data), rows(r.rows), cols(r.cols), stride(r.stride) {}
  ConstFloatRows(Rows<const quant::Bf16> r)
      : data(r.data), is_bf16(true), rows(r.rows), cols(r.cols), stride(r.stride) {}
};
struct FloatRows {
  void* data = nullptr;
  bool is_bf16 = false;  // results are rounded once, after their last fp32 operation
  std::int64_t rows = 0, cols = 0, stride = 0;

  FloatRows() = default;
  FloatRows(Rows<float> r) : data(r.data), rows(r.rows), cols(r.cols), stride(r.stride) {}
  FloatRows(Rows<quant::Bf16> r)
      : data(r.data), is_bf16(true), rows(r.rows), cols(r.cols), stride(r.stride) {}
};

/// Counts that grow on the device, in no order.
using Counter = unsigned long long;

inline constexpr std::int64_t kMostRowWidth = 1 << 15;  // K of the entries that hold a row in shared memory

/// G1 with G2: y = (x·r)·gain (numerics.md 3) where there is a gain, else x; then statistic, TopK and codes
/// of y. One read of x, one write of its codes.
struct QuantizeArgs {
  ConstFloatRows x = {};   // [R, K], K <= kMostRowWidth
  ConstFloatRows up = {};  // [R, K] of x's type: x is a gate, and act(x) ⊙ up takes its place; or empty
  GluKind glu = GluKind::relu2;
  const float* gain = nullptr;  // [K]
  double eps = 0.0;
  quant::Scheme scheme = quant::Scheme::int8;
  std::int64_t keep = 0;             // survivors of TopK per row; 0 = all
  Rows<std::int8_t> codes = {};      // [R, K]
  Rows<std::uint8_t> packed = {};    // [R, ceil(K/2)] the same, two codes per byte; or empty
  float* step = nullptr;             // [R]
  std::int32_t* code_sum = nullptr;  // [R]
  std::uint8_t* status = nullptr;    // [R] kRowFinite, kRowNonFinite
  float* inverse_rms = nullptr;      // [R] r, or nullptr
  Counter* zeros = nullptr;          // the number of zero codes is added to it; or nullptr
  Counter* closed = nullptr;         // with `up`: likewise of gates whose activation is 0
};

/// G6: the codes and α of a master weight, as int8 rows and, where `words` is set, as ternary words.
struct TernarizeArgs {
  Rows<const float> weight = {};   // [N, K]
  Rows<std::int8_t> codes = {};    // [N, K]
  Rows<std::uint32_t> words = {};  // [N, ternary_row_words(K)] or empty
  float* alpha = nullptr;          // [1]
  std::uint8_t* status = nullptr;  // [1]
  double* row_sums = nullptr;      // [N] scratch
};

/// Ternary words from int8 codes, or from the bytes of a packed file in any of its layouts.
struct TernaryWordsArgs {
  std::int64_t outputs = 0, inputs = 0;
  Rows<const std::int8_t> codes = {};    // [N, K], any stride; or empty:
  Rows<const std::uint8_t> stored = {};  // [stored_rows, stored_row_bytes]
  quant::TernaryLayout layout = quant::TernaryLayout::t2_row;
  Rows<std::uint32_t> words = {};  // [N, ternary_row_words(K)]
};

/// One or several ternary matrices with the same input, rows one after another: q, k, v; gate, up.
inline constexpr int kMostMatrices = 3;
struct TernaryOperand {
  std::int64_t outputs = 0, inputs = 0;  // N of all together, K
  Rows<const std::int8_t> codes = {};    // [N, K], or
  Rows<const std::uint32_t> words = {};  // [N, ternary_row_words(K)]; one of the two is set
  int matrices = 1;
  std::int64_t end[kMostMatrices] = {};    // rows before end[m] and not of an earlier one belong to matrix m
  const float* alpha[kMostMatrices] = {};  // [1] each
};

/// G3: y[r, n] = float(Σ_k codes[r, k]·t[n, k]) · (step[r]·α of row n).
struct GemmArgs {
  Rows<const std::int8_t> codes = {};      // [R, K]
  const float* step = nullptr;             // [R]
  const std::int32_t* code_sum = nullptr;  // [R]; read for `words`
  TernaryOperand weight = {};
  FloatRows y = {};  // [R, N]
};

/// The last line of G3 for products that came from elsewhere.
struct ScaleArgs {
  Rows<const std::int32_t> acc = {};  // [R, N]
  const float* step = nullptr;        // [R]
  TernaryOperand weight = {};         // of which outputs, matrices, end, alpha are read
  FloatRows y = {};                   // [R, N]
};

/// G4: one token; code_row_bytes(K) bytes of codes.
struct GemvArgs {
  const std::int8_t* codes = nullptr;
  const float* step = nullptr;             // [1]
  const std::int32_t* code_sum = nullptr;  // [1]
  TernaryOperand weight = {};              // words
  float* y = nullptr;                      // [N]
  bool accumulate = false;                 // y + product in place of the product
};

/// Operands of the backward products. q[r, k] = code, from int8 or packed 4-bit codes: exact in bf16.
struct CodesToFloatArgs {
  quant::Scheme scheme = quant::Scheme::int8;  // of `packed`
  Rows<const std::int8_t> codes = {};          // [R, K], or
  Rows<const std::uint8_t> packed = {};        // [R, ceil(K/2)]
  FloatRows q = {};                            // [R, K]
};
/// out[r, n] = step[r]·dy[r, n], one fp32 product, then rounded if bf16.
struct ScaledGradientArgs {
  ConstFloatRows dy = {};       // [R, N]
  const float* step = nullptr;  // [R]
  FloatRows out = {};           // [R, N]
};

/// y = (x·r)·gain, r = fp32(1/√(S/K + eps)) (numerics.md 3).
struct RmsNormArgs {
  ConstFloatRows x = {};        // [R, K], K <= kMostRowWidth
  const float* gain = nullptr;  // [K]
  double eps = 0.0;
  FloatRows y = {};              // [R, K] of x's type, or fp32
  float* inverse_rms = nullptr;  // [R] r, or nullptr
};
/// dx = r·(gain ⊙ dy) − x·(r³/K)·Σ(gain ⊙ dy ⊙ x). dgain is the sum of the rows of dgain_parts, of which
/// block b holds those of the rows b, b + parts, …
struct RmsNormBackwardArgs {
  ConstFloatRows x = {};               // [R, K], K <= kMostRowWidth
  ConstFloatRows dy = {};              // [R, K] of x's type, or fp32
  const float* gain = nullptr;         // [K]
  const float* inverse_rms = nullptr;  // [R]
  FloatRows dx = {};                   // [R, K] of x's type
  Rows<float> dgain_parts = {};        // [parts, K], parts >= 1
};

/// core/quant/glu.h, element by element; all rows of one type.
struct GluArgs {
  GluKind kind = GluKind::relu2;
  ConstFloatRows gate = {}, up = {};  // [R, F]
  FloatRows y = {};                   // [R, F]
};
struct GluBackwardArgs {
  GluKind kind = GluKind::relu2;
  ConstFloatRows gate = {}, up = {}, dy = {};  // [R, F]
  FloatRows dgate = {}, dup = {};              // [R, F]
};

/// RopeRows of api.h for rows of either type, x and y of the same.
struct RopeArgs {
  ConstFloatRows x = {};                   // [R, heads·hd]
  FloatRows y = {};                        // [R, heads·hd]; x itself is allowed
  const std::int32_t* position = nullptr;  // [R]
  std::int64_t heads = 1, head_dim = 2;
  Rows<const float> cos = {}, sin = {};  // [positions, hd/2]
  bool inverse = false;
};

// What decoding a packed model needs besides (core/runtime/device_decoder.h). Token ids, sequences and
// positions are read from device memory, so that one recorded graph serves every token.

/// x[r] = row id[r] of an embedding of f32 or bf16, as fp32.
struct WidenArgs {
  HeadWeight embedding = {};
  const std::int32_t* id = nullptr;  // [R]
  Rows<float> x = {};                // [R, D]
};

/// x += y.
struct AddArgs {
  Rows<const float> y = {};  // [R, D]
  Rows<float> x = {};        // [R, D]
};

/// CacheView of api.h for rows whose place is known on the device alone: row r is position[r] of
/// sequence[r], and sees the positions up to its own.
struct CachePages {
  CacheLayout layout = {};                 // head_dim <= kMostHeadDim
  std::uint8_t* const* chunk = nullptr;    // [sequences, chunks]; each starts at a multiple of 256
  std::int64_t chunks = 0;                 // of a sequence at most
  std::int64_t offset = 0;                 // of the layer in a chunk, bytes
  std::uint8_t* first = nullptr;           // slot of position 0 of sequence 0 in the layer, or nullptr
  std::int64_t first_stride = 0;           // bytes to the next sequence's
  const std::int32_t* sequence = nullptr;  // [R]
  const std::int32_t* position = nullptr;  // [R]
};
inline constexpr std::int64_t kMostHeadDim = 256;

/// Rotates q and k (rope_rows); stores k and v in the cache; hands on what the scores need of q: the rotated
/// floats and factor = σ, or its codes as floats and factor = step·σ (numerics.md 5.2).
struct StoreCacheArgs {
  CachePages pages = {};
  int q_bits = 16;
  Rows<const float> q = {}, k = {}, v = {};  // [R, H·hd], [R, KV·hd]
  Rows<const float> cos = {}, sin = {};      // [positions, hd/2]
  Rows<float> query = {};                    // [R, H·hd]
  Rows<float> factor = {};                   // [R, H]
  /// [R]: bit kKeyNonFinite, kValueNonFinite or kQueryNonFinite of api.h is set; nothing is cleared.
  std::uint32_t* status = nullptr;
};

/// AttentionCacheRows of api.h after StoreCacheArgs. Blocks for chunks behind a row's position leave at once.
struct AttentionCacheArgs {
  CachePages pages = {};
  std::int64_t heads = 1;
  Rows<const float> query = {};   // [R, H·hd]
  Rows<const float> factor = {};  // [R, H]
  Rows<float> y = {};             // [R, H·hd]
  std::int64_t chunks = 1;        // at least those of the longest row
  void* scratch = nullptr;        // attention_scratch_bytes(R, H, chunks, hd)
};
/// Per row, head and chunk: sum of the exponentials (fp64), largest score, weighted values.
constexpr std::int64_t attention_scratch_bytes(std::int64_t rows, std::int64_t heads, std::int64_t chunks,
                                               std::int64_t head_dim) {
  return rows * heads * chunks * (8 + 4 + 4 * head_dim);
}

/// Logits of a head of any class (packed_head_rows of api.h): of x for f32 and bf16, of INT8 codes of x for
/// i8, i6, i4.
struct HeadArgs {
  HeadWeight weight = {};
  Rows<const float> x = {};            // [R, D], rows start at multiples of 16 bytes; or
  Rows<const std::int8_t> codes = {};  // [R, D]
  const float* step = nullptr;         // [R]
  Rows<float> logits = {};             // [R, V]
};

/// Reads memory once, for the rate at which that is possible.
struct ReadArgs {
  const void* data = nullptr;    // starts at a multiple of 16
  std::int64_t bytes = 0;        // a multiple of 16
  std::uint32_t* sum = nullptr;  // [1] the sum of its 32-bit words is added, so that they have to be read
};
/// A kernel that does nothing, for what one more kernel costs.
struct NothingArgs {};

template <typename Args>
using Entry = void (*)(const Args& args, Stream stream);

struct CudaTable {
  Entry<QuantizeArgs> quantize_rows = nullptr;
  Entry<TopkRows> topk_rows = nullptr;  // K <= kMostRowWidth
  Entry<Pack4Rows> pack4_rows = nullptr;
  Entry<Unpack4Rows> unpack4_rows = nullptr;
  Entry<TernaryWordsArgs> ternary_words = nullptr;
  Entry<TernarizeArgs> ternarize_weight = nullptr;
  Entry<GemmArgs> gemm_ternary = nullptr;
  Entry<ScaleArgs> scale_rows = nullptr;
  Entry<GemvArgs> gemv_ternary = nullptr;
  Entry<CodesToFloatArgs> codes_to_float = nullptr;
  Entry<ScaledGradientArgs> scaled_gradient = nullptr;
  Entry<RmsNormArgs> rms_norm_rows = nullptr;
  Entry<RmsNormBackwardArgs> rms_norm_backward_rows = nullptr;
  Entry<GluArgs> glu_rows = nullptr;
  Entry<GluBackwardArgs> glu_backward_rows = nullptr;
  Entry<RopeArgs> rope_rows = nullptr;
  Entry<WidenArgs> widen_rows = nullptr;
  Entry<AddArgs> add_rows = nullptr;
  Entry<StoreCacheArgs> store_cache_rows = nullptr;
  Entry<AttentionCacheArgs> attention_cache_rows = nullptr;
  Entry<HeadArgs> packed_head_rows = nullptr;
  Entry<ReadArgs> read_bytes = nullptr;
  Entry<NothingArgs> do_nothing = nullptr;
};
const CudaTable& table_cuda();

}  // namespace a48::kernels::cuda
