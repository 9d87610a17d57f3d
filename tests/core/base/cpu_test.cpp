#include "core/base/cpu.h"

#include "core/base/check.h"
#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("instruction sets have names, and names have instruction sets") {
  for (const IsaLevel level : {IsaLevel::reference, IsaLevel::portable, IsaLevel::avx2, IsaLevel::avx512})
    CHECK(isa_from_name(isa_name(level)) == level);
  CHECK_THROWS_WITH(isa_from_name("avx3"), contains("allowed are reference, portable, avx2, avx512"));
}

TEST_CASE("the active level is one that this CPU has") {
  CHECK(probed_isa() >= IsaLevel::portable);
  CHECK(active_isa() <= probed_isa());
  CHECK_FALSE(cpu_name().empty());
}

}  // namespace a48::test
