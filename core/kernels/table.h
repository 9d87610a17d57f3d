// KernelTable: one function pointer per operation and level. An entry works on the half-open range [begin,
// end) of its operation's units (rows, or output panels), single-threaded; api.cpp splits the range over
// threads. The candidates, best last, stand in table.cpp: a new kernel is one file and one line. A null entry
// falls back one level.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/cpu.h"
#include "core/kernels/api.h"

namespace a48::kernels {

template <typename Args>
using RangeKernel = void (*)(const Args& args, std::int64_t begin, std::int64_t end);

/// index[0 … count) = the places among the first n of x that are wanted, ascending; returns count. Room for n
/// + 8.
template <typename T>
using ListKernel = std::int64_t (*)(const T* x, std::int64_t n, std::int32_t* index);

/// Pieces that api.h offers only as part of a whole: ternarize_weight and rms_norm_backward_rows split their
/// work themselves.
struct AbsSumRows {
  Rows<const float> x;  // [R, K]
  double* sum;          // [R] fp64 lane sum of |x|
};
/// Units: blocks of quant::kGainBlockRows rows. dx of the block's rows, and the block's share of the gain's
/// gradient.
struct RmsNormBackwardBlocks {
  RmsNormBackwardRows norm;    // its dgain is not touched
  Rows<float> dgain_of_block;  // [blocks, K]
};

/// Units: stored rows of one T2_ROW4 matrix, four outputs each. (Units of gemv_ternary_rows: entries of the
/// list, or rows of the matrix where the list is nullptr.)
struct GemvTernaryRow4 {
  TokenCodes input;
  TernaryMatrix matrix;
  float* y;  // [N]
};
/// Units: entries of a list of T2_COL columns. sums[n] = Σ over them of code·(t + 1).
struct TernaryColumnSums {
  TokenCodes input;
  TernaryMatrix matrix;
  const std::int32_t* column;  // ascending
  std::int32_t* sums;          // [N rounded up to 256]
};

/// What a level computes for packed_head_rows. Units: vocabulary rows.
struct HeadProduct {
  Rows<const float> x;  // [R, D]
  HeadWeight weight;
  Rows<const std::int8_t> codes;  // i*: [R, D], 0 up to a multiple of kCodePadding
  const float* step;              // i*: [R]
  const std::int32_t* code_sum;   // i*: [R]
  Rows<float> logits;             // [R, V]
};

/// Sums of each (row, head, chunk), and what becomes of them. Entry (row·heads + head)·chunks + chunk of
/// each array; units: (kv head·chunks + chunk)·tiles + tile of kCacheRowTile rows for the sums; rows × heads
/// for the merge.
inline constexpr std::int64_t kCacheRowTile = 4;
struct AttentionCachePart {
  AttentionCacheRows rows;
  std::int64_t chunks;      // of the longest row
  std::int64_t acc_stride;  // floats
  double* sum;              // Z_c
  float* max;               // m_c
  float* acc;               // acc_c

  A48_INLINE std::int64_t tiles() const { return (rows.q.rows + kCacheRowTile - 1) / kCacheRowTile; }
  struct Unit {
    std::int64_t kv_head, chunk, first_row;
  };
  A48_INLINE Unit unit(std::int64_t i) const {
    const std::int64_t of_head = i / tiles();
    return {of_head / chunks, of_head % chunks, i % tiles() * kCacheRowTile};
  }
};

struct GemmTernaryKernel;
struct GemmBf16Kernel;

struct KernelTable {
  RangeKernel<StatRows> stat_rows = nullptr;
  RangeKernel<EncodeRows> encode_rows = nullptr;
  RangeKernel<TopkRows> topk_rows = nullptr;
  RangeKernel<QuantizeRows> quantize_rows = nullptr;
  RangeKernel<Pack4Rows> pack4_rows = nullptr;
  RangeKernel<Unpack4Rows> unpack4_rows = nullptr;
  RangeKernel<CodesToFloat> codes_to_float = nullptr;
  RangeKernel<AbsSumRows> abs_sum_rows = nullptr;
  RangeKernel<RmsNormRows> rms_norm_rows = nullptr;
  RangeKernel<RmsNormBackwardBlocks> rms_norm_backward_blocks = nullptr;
  RangeKernel<GluRows> glu_rows = nullptr;
  RangeKernel<GluBackwardRows> glu_backward_rows = nullptr;
  RangeKernel<RopeRows> rope_rows = nullptr;
  RangeKernel<AttentionRows> attention_rows = nullptr;  // units: rows × heads
  RangeKernel<StoreCacheRows> store_cache_rows = nullptr;
  RangeKernel<AttentionCachePart> attention_cache_sums = nullptr;
  RangeKernel<AttentionCachePart> attention_cache_merge = nullptr;
  RangeKernel<HeadRows> head_rows = nullptr;            // units: vocabulary rows
  RangeKernel<HeadProduct> packed_head_rows = nullptr;  // units: vocabulary rows
  RangeKernel<GemvTernaryRow4> gemv_ternary = nullptr;
  RangeKernel<GemvTernaryRows> gemv_ternary_rows = nullptr;
  RangeKernel<TernaryColumnSums> gemv_ternary_columns = nullptr;
  ListKernel<float> list_positive = nullptr;        // x > 0
  ListKernel<std::int8_t> list_codes = nullptr;     // codes other than 0
  const GemmTernaryKernel* gemm_ternary = nullptr;  // several functions and sizes: cpu/gemm_ternary.h
  const GemmBf16Kernel* gemm_bf16 = nullptr;        // the same: cpu/gemm_bf16.h
};

/// The table of one level, with holes filled from the levels below.
const KernelTable& table(IsaLevel level);
/// table(active_isa()), chosen once.
const KernelTable& table();
/// Levels whose code this CPU can run, ascending: what tests loop over.
std::vector<IsaLevel> present_levels();
/// Tests only: api.h functions use this level until the returned guard ends.
class ScopedLevel {
 public:
  explicit ScopedLevel(IsaLevel level);
  ~ScopedLevel();

 private:
  IsaLevel previous_;
};

}  // namespace a48::kernels
