// The record of non-finite rows: the first finding stays, a scope has its own.
#include "core/ops/status.h"

#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("check 7: the first non-finite row is remembered until the reset") {
  ops::reset_non_finite();
  CHECK(!ops::first_non_finite());
  ops::report_non_finite("model.layers.3.self_attn.o_proj input", 17);
  ops::report_non_finite("later", 1);
  CHECK(*ops::first_non_finite() == "model.layers.3.self_attn.o_proj input, row 17");
  CHECK(ops::first_non_finite_row() == 17);
  {
    const ops::NonFiniteScope evaluation;
    CHECK(!ops::first_non_finite());
    ops::report_non_finite("model.layers.0.mlp.up_proj weight");
    CHECK(*ops::first_non_finite() == "model.layers.0.mlp.up_proj weight");
  }
  CHECK(ops::first_non_finite_row() == 17);
  ops::reset_non_finite();
  CHECK(!ops::first_non_finite());
}

}  // namespace a48::test
