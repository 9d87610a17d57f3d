// The kernel table: levels, holes filled from below, and the guard that tests use.
#include "core/kernels/table.h"

#include <algorithm>

#include "core/kernels/cpu/entries.h"
#include "tests/support/catch.h"

namespace a48::test {

using kernels::KernelTable;
using kernels::ScopedLevel;
using kernels::table;

TEST_CASE("levels present ascend without a gap from reference to the best that this CPU has") {
  const std::vector<IsaLevel> levels = kernels::present_levels();
  REQUIRE(levels.size() >= 2);
  for (std::size_t i = 0; i < levels.size(); ++i) CHECK(static_cast<std::size_t>(levels[i]) == i);
  CHECK(levels.back() <= probed_isa());
}

TEST_CASE("X7: the table in use is that of the active level, unless a test asks for another") {
  const std::vector<IsaLevel> levels = kernels::present_levels();
  const KernelTable* usual = &table();
  CHECK(usual == &table(std::min(active_isa(), levels.back())));
  {
    const ScopedLevel outer(IsaLevel::reference);
    CHECK(&table() == &table(IsaLevel::reference));
    {
      const ScopedLevel inner(IsaLevel::portable);
      CHECK(&table() == &table(IsaLevel::portable));
    }
    CHECK(&table() == &table(IsaLevel::reference));
  }
  CHECK(&table() == usual);
}

TEST_CASE("a level has its own kernels where it has them and those of the level below where not") {
  CHECK(table(IsaLevel::reference).head_rows == kernels::cpu::head_rows_reference);
  CHECK(table(IsaLevel::portable).head_rows == kernels::cpu::head_rows_portable);
  CHECK(table(IsaLevel::portable).gemm_ternary == &kernels::cpu::gemm_ternary_portable);
  for (const IsaLevel level : kernels::present_levels()) {
    const KernelTable& t = table(level);
    INFO("level " << isa_name(level));
    CHECK(t.stat_rows != nullptr);
    CHECK(t.encode_rows != nullptr);
    CHECK(t.topk_rows != nullptr);
    CHECK(t.quantize_rows != nullptr);
    CHECK(t.pack4_rows != nullptr);
    CHECK(t.unpack4_rows != nullptr);
    CHECK(t.codes_to_float != nullptr);
    CHECK(t.abs_sum_rows != nullptr);
    CHECK(t.rms_norm_rows != nullptr);
    CHECK(t.rms_norm_backward_blocks != nullptr);
    CHECK(t.glu_rows != nullptr);
    CHECK(t.glu_backward_rows != nullptr);
    CHECK(t.rope_rows != nullptr);
    CHECK(t.attention_rows != nullptr);
    CHECK(t.head_rows != nullptr);
    CHECK(t.gemv_ternary != nullptr);
    CHECK(t.gemv_ternary_rows != nullptr);
    CHECK(t.gemv_ternary_columns != nullptr);
    CHECK(t.list_positive != nullptr);
    CHECK(t.list_codes != nullptr);
    CHECK(t.gemm_ternary != nullptr);
  }
  // AVX-512 has no packing of its own: the rows of a level without an entry are those of the level below.
  CHECK(table(IsaLevel::avx512).pack4_rows == table(IsaLevel::avx2).pack4_rows);
}

}  // namespace a48::test
