// The loops that are timed as ceilings do what they say, on every level.
#include "core/kernels/ceilings.h"

#include <cstring>

#include "tests/core/kernels/ternary_test.h"

namespace a48::test {

TEST_CASE("ceilings: each loop reads all its bytes and does all its products") {
  constexpr std::int64_t kBytes = 2048;
  const PackedMatrix matrix(quant::TernaryLayout::t2_row, 1, 4 * kBytes);
  const Token token = Token::random(4 * kBytes, quant::Scheme::int8);
  std::int64_t expected = 0;
  std::uint64_t words = 0;
  for (std::int64_t k = 0; k < 4 * kBytes; ++k) expected += token.codes[k] * (matrix.codes[k] + 1);
  for (std::int64_t i = 0; i < kBytes; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, matrix.packed.data() + i, 8);
    words += word;
  }
  for (const IsaLevel level : kernels::present_levels()) {
    INFO("level " << isa_name(level));
    const kernels::CeilingLoops& loops = kernels::ceiling_loops(level);
    CHECK(loops.read(matrix.packed.data(), kBytes) == words);
    CHECK(loops.unpack(matrix.packed.data(), token.codes.data(), kBytes) == expected);
    for (const std::int64_t rounds : {1, 1024, 5000})
      CHECK(loops.multiply_add(rounds) == rounds * loops.products_a_round);
  }
}

}  // namespace a48::test
