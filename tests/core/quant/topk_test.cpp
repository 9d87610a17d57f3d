// The number of survivors, and the cut against ranks.
#include "core/quant/topk.h"

#include <vector>

#include "core/quant/math.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"

namespace a48::test {
namespace {

using namespace quant;

TopkCut cut_of(const std::vector<float>& x, std::int64_t keep) {
  std::uint32_t largest = 0;
  for (const float value : x) largest = std::max(largest, magnitude_bits(value));
  return find_topk_cut(largest, static_cast<std::int64_t>(x.size()), keep, [&](std::uint32_t from) {
    std::int64_t count = 0;
    for (const float value : x) count += magnitude_bits(value) >= from;
    return count;
  });
}

}  // namespace

TEST_CASE("topk_count rounds half up and stays within 1 and the width") {
  const struct {
    double keep;
    std::int64_t width, count;
  } cases[] = {{0.5, 1536, 768}, {0.5, 3, 2},      {0.1, 1, 1},     {0.1, 3, 1},
               {0.55, 64, 35},   {0.25, 816, 204}, {1.0, 816, 816}, {0.75, 2, 2}};
  for (const auto& c : cases) CHECK(topk_count(c.keep, c.width) == c.count);
}

TEST_CASE("check 11: the cut keeps exactly the entries whose rank is below keep, ties included") {
  for (const RowKind kind : kAllRows)
    for (const std::int64_t width : {1, 3, 64, 100}) {
      std::vector<float> x(static_cast<std::size_t>(width));
      fill_row(kind, x.data(), width, seed(), 0);
      for (std::int64_t keep = 1; keep <= width; ++keep) {
        const TopkCut cut = cut_of(x, keep);
        std::int64_t ties = cut.ties;
        for (std::int64_t k = 0; k < width; ++k) {
          const std::uint32_t bits = magnitude_bits(x[static_cast<std::size_t>(k)]);
          std::int64_t rank = 0;
          for (std::int64_t j = 0; j < width; ++j)
            rank += topk_outranks(magnitude_bits(x[static_cast<std::size_t>(j)]), j, bits, k);
          const bool tie = bits == cut.bits && ties > 0;
          ties -= tie;
          if ((bits > cut.bits || tie) != (rank < keep))
            FAIL("width " << width << " keep " << keep << " entry " << k);
        }
      }
    }
}

TEST_CASE("the worked example of topk.h") {
  const TopkCut cut = cut_of({2, -1, 1, 0, -1}, 3);
  CHECK(cut.bits == magnitude_bits(1.0f));
  CHECK(cut.ties == 2);
}

}  // namespace a48::test
