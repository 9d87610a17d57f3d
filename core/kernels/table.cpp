// The levels and what each of them has: one function a level, one line an operation. What an entry does:
// api.h; its portable form: cpu/<op>.cpp, such as
// gemv_ternary.cpp.
#include "core/kernels/table.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <string>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/kernels/cpu/entries.h"

namespace a48::kernels {
namespace {

KernelTable reference_entries() {
  KernelTable t;
  t.stat_rows = cpu::stat_rows_reference;
  t.encode_rows = cpu::encode_rows_reference;
  t.topk_rows = cpu::topk_rows_reference;
  t.quantize_rows = cpu::quantize_rows_reference;
  t.pack4_rows = cpu::pack4_rows_reference;
  t.unpack4_rows = cpu::unpack4_rows_reference;
  t.codes_to_float = cpu::codes_to_float_reference;
  t.abs_sum_rows = cpu::abs_sum_rows_reference;
  t.rms_norm_rows = cpu::rms_norm_rows_reference;
  t.rms_norm_backward_blocks = cpu::rms_norm_backward_blocks_reference;
  t.glu_rows = cpu::glu_rows_reference;
  t.glu_backward_rows = cpu::glu_backward_rows_reference;
  t.rope_rows = cpu::rope_rows_reference;
  t.attention_rows = cpu::attention_rows_reference;
  t.store_cache_rows = cpu::store_cache_rows_reference;
  t.attention_cache_sums = cpu::attention_cache_sums_reference;
  t.attention_cache_merge = cpu::attention_cache_merge_reference;
  t.head_rows = cpu::head_rows_reference;
  t.packed_head_rows = cpu::packed_head_rows_reference;
  t.gemv_ternary = cpu::gemv_ternary_reference;
  t.gemv_ternary_rows = cpu::gemv_ternary_rows_reference;
  t.gemv_ternary_columns = cpu::gemv_ternary_columns_reference;
  t.list_positive = cpu::list_positive_reference;
  t.list_codes = cpu::list_codes_reference;
  t.gemm_ternary = &cpu::gemm_ternary_reference;
  t.gemm_bf16 = &cpu::gemm_bf16_reference;
  return t;
}

KernelTable portable_entries() {
  KernelTable t;
  t.stat_rows = cpu::stat_rows_portable;
  t.encode_rows = cpu::encode_rows_portable;
  t.topk_rows = cpu::topk_rows_portable;
  t.quantize_rows = cpu::quantize_rows_portable;
  t.pack4_rows = cpu::pack4_rows_portable;
  t.unpack4_rows = cpu::unpack4_rows_portable;
  t.codes_to_float = cpu::codes_to_float_portable;
  t.abs_sum_rows = cpu::abs_sum_rows_portable;
  t.rms_norm_rows = cpu::rms_norm_rows_portable;
  t.rms_norm_backward_blocks = cpu::rms_norm_backward_blocks_portable;
  t.glu_rows = cpu::glu_rows_portable;
  t.glu_backward_rows = cpu::glu_backward_rows_portable;
  t.rope_rows = cpu::rope_rows_portable;
  t.attention_rows = cpu::attention_rows_portable;
  t.store_cache_rows = cpu::store_cache_rows_portable;
  t.attention_cache_sums = cpu::attention_cache_sums_portable;
  t.attention_cache_merge = cpu::attention_cache_merge_portable;
  t.head_rows = cpu::head_rows_portable;
  t.packed_head_rows = cpu::packed_head_rows_portable;
  t.gemv_ternary = cpu::gemv_ternary_portable;
  t.gemv_ternary_rows = cpu::gemv_ternary_rows_portable;
  t.gemv_ternary_columns = cpu::gemv_ternary_columns_portable;
  t.list_positive = cpu::list_positive_portable;
  t.list_codes = cpu::list_codes_portable;
  t.gemm_ternary = &cpu::gemm_ternary_portable;
  return t;
}

KernelTable avx2_entries() {
  KernelTable t;
#ifdef A48_HAVE_AVX2
  t.stat_rows = cpu::stat_rows_avx2;
  t.encode_rows = cpu::encode_rows_avx2;
  t.topk_rows = cpu::topk_rows_avx2;
  t.quantize_rows = cpu::quantize_rows_avx2;
  t.pack4_rows = cpu::pack4_rows_avx2;
  t.unpack4_rows = cpu::unpack4_rows_avx2;
  t.codes_to_float = cpu::codes_to_float_avx2;
  t.abs_sum_rows = cpu::abs_sum_rows_avx2;
  t.rms_norm_rows = cpu::rms_norm_rows_avx2;
  t.rms_norm_backward_blocks = cpu::rms_norm_backward_blocks_avx2;
  t.glu_rows = cpu::glu_rows_avx2;
  t.glu_backward_rows = cpu::glu_backward_rows_avx2;
  t.rope_rows = cpu::rope_rows_avx2;
  t.attention_rows = cpu::attention_rows_avx2;
  t.store_cache_rows = cpu::store_cache_rows_avx2;
  t.attention_cache_sums = cpu::attention_cache_sums_avx2;
  t.attention_cache_merge = cpu::attention_cache_merge_avx2;
  t.head_rows = cpu::head_rows_avx2;
  t.packed_head_rows = cpu::packed_head_rows_avx2;
  t.gemv_ternary = cpu::gemv_ternary_avx2;
  t.gemv_ternary_rows = cpu::gemv_ternary_rows_avx2;
  t.gemv_ternary_columns = cpu::gemv_ternary_columns_avx2;
  t.list_positive = cpu::list_positive_avx2;
  t.list_codes = cpu::list_codes_avx2;
  t.gemm_ternary = &cpu::gemm_ternary_avx2;
#endif
  return t;
}

KernelTable avx512_entries() {
  KernelTable t;
#ifdef A48_HAVE_AVX512
  t.stat_rows = cpu::stat_rows_avx512;
  t.encode_rows = cpu::encode_rows_avx512;
  t.topk_rows = cpu::topk_rows_avx512;
  t.quantize_rows = cpu::quantize_rows_avx512;
  t.abs_sum_rows = cpu::abs_sum_rows_avx512;
  t.rms_norm_rows = cpu::rms_norm_rows_avx512;
  t.rms_norm_backward_blocks = cpu::rms_norm_backward_blocks_avx512;
  t.glu_rows = cpu::glu_rows_avx512;
  t.glu_backward_rows = cpu::glu_backward_rows_avx512;
  t.attention_rows = cpu::attention_rows_avx512;
  t.store_cache_rows = cpu::store_cache_rows_avx512;
  t.attention_cache_sums = cpu::attention_cache_sums_avx512;
  t.attention_cache_merge = cpu::attention_cache_merge_avx512;
  t.head_rows = cpu::head_rows_avx512;
  t.packed_head_rows = cpu::packed_head_rows_avx512;
  t.gemv_ternary = cpu::gemv_ternary_avx512;
  t.gemv_ternary_rows = cpu::gemv_ternary_rows_avx512;
  t.gemv_ternary_columns = cpu::gemv_ternary_columns_avx512;
  t.list_positive = cpu::list_positive_avx512;
  t.list_codes = cpu::list_codes_avx512;
  t.gemm_ternary = &cpu::gemm_ternary_avx512;
  if (cpu_has_bf16()) t.gemm_bf16 = &cpu::gemm_bf16_avx512_bf16;  // not on every CPU of the level
#endif
  return t;
}

constexpr int kLevels = 4;

#if defined(A48_HAVE_AVX512)
constexpr IsaLevel kHighestBuilt = IsaLevel::avx512;
#elif defined(A48_HAVE_AVX2)
constexpr IsaLevel kHighestBuilt = IsaLevel::avx2;
#else
constexpr IsaLevel kHighestBuilt = IsaLevel::portable;
#endif

/// Calls visit(name, member) for every entry of KernelTable.
template <typename Visit>
void for_each_entry(Visit visit) {
  visit("stat_rows", &KernelTable::stat_rows);
  visit("encode_rows", &KernelTable::encode_rows);
  visit("topk_rows", &KernelTable::topk_rows);
  visit("quantize_rows", &KernelTable::quantize_rows);
  visit("pack4_rows", &KernelTable::pack4_rows);
  visit("unpack4_rows", &KernelTable::unpack4_rows);
  visit("codes_to_float", &KernelTable::codes_to_float);
  visit("abs_sum_rows", &KernelTable::abs_sum_rows);
  visit("rms_norm_rows", &KernelTable::rms_norm_rows);
  visit("rms_norm_backward_blocks", &KernelTable::rms_norm_backward_blocks);
  visit("glu_rows", &KernelTable::glu_rows);
  visit("glu_backward_rows", &KernelTable::glu_backward_rows);
  visit("rope_rows", &KernelTable::rope_rows);
  visit("attention_rows", &KernelTable::attention_rows);
  visit("store_cache_rows", &KernelTable::store_cache_rows);
  visit("attention_cache_sums", &KernelTable::attention_cache_sums);
  visit("attention_cache_merge", &KernelTable::attention_cache_merge);
  visit("head_rows", &KernelTable::head_rows);
  visit("packed_head_rows", &KernelTable::packed_head_rows);
  visit("gemv_ternary", &KernelTable::gemv_ternary);
  visit("gemv_ternary_rows", &KernelTable::gemv_ternary_rows);
  visit("gemv_ternary_columns", &KernelTable::gemv_ternary_columns);
  visit("list_positive", &KernelTable::list_positive);
  visit("list_codes", &KernelTable::list_codes);
  visit("gemm_ternary", &KernelTable::gemm_ternary);
  visit("gemm_bf16", &KernelTable::gemm_bf16);
}

std::array<KernelTable, kLevels> build() {
  std::array<KernelTable, kLevels> levels{reference_entries(), portable_entries(), avx2_entries(),
                                          avx512_entries()};
  for_each_entry([&](const char* name, auto member) {
    A48_ASSERT(levels[0].*member != nullptr, "the kernel table has no reference for", name);
    for (std::size_t i = 1; i < levels.size(); ++i) {
      if (levels[i].*member == nullptr) levels[i].*member = levels[i - 1].*member;
    }
  });
  return levels;
}

constexpr IsaLevel kNoOverride{-1};
std::atomic<IsaLevel> override_level{kNoOverride};  // set by ScopedLevel

IsaLevel chosen_level() {
  static const IsaLevel level = [] {
    const IsaLevel active = active_isa();
#if defined(A48_HAVE_AVX2)
    if (active < IsaLevel::avx2) {
      log::warning(std::string("kernels of level ") + isa_name(active) +
                   ": correct but slow; this program is meant for a CPU with AVX2 and FMA");
    }
#endif
    return active < kHighestBuilt ? active : kHighestBuilt;
  }();
  return level;
}

}  // namespace

const KernelTable& table(IsaLevel level) {
  static const std::array<KernelTable, kLevels> levels = build();
  return levels[static_cast<std::size_t>(level)];
}

const KernelTable& table() {
  const IsaLevel forced = override_level.load(std::memory_order_relaxed);
  return table(forced == kNoOverride ? chosen_level() : forced);
}

std::vector<IsaLevel> present_levels() {
  const IsaLevel highest = probed_isa() < kHighestBuilt ? probed_isa() : kHighestBuilt;
  std::vector<IsaLevel> levels;
  for (int level = 0; level <= static_cast<int>(highest); ++level)
    levels.push_back(static_cast<IsaLevel>(level));
  return levels;
}

ScopedLevel::ScopedLevel(IsaLevel level) : previous_(override_level.load()) {
  A48_ASSERT(level <= probed_isa() && level <= kHighestBuilt, "level", isa_name(level),
             "is not present here");
  override_level = level;
}

ScopedLevel::~ScopedLevel() { override_level = previous_; }

}  // namespace a48::kernels
