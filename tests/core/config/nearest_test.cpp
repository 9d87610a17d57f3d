#include "core/config/nearest.h"

#include "tests/support/catch.h"

namespace a48::test {
using config::edit_distance;
using config::nearest_name;

TEST_CASE("edit distance counts insertions, deletions, replacements and swaps") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("seed", "sed") == 1);
  CHECK(edit_distance("sede", "seed") == 1);
  CHECK(edit_distance("hiden_size", "hidden_size") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("abc", "cab") == edit_distance("cab", "abc"));
}

TEST_CASE("the nearest name is at most max(2, length / 3) away; the longest wins a tie, then the first") {
  CHECK(nearest_name("sed", {"seed", "send"}) == "seed");
  CHECK(nearest_name("abcd", {"xycd"}) == "xycd");
  CHECK(nearest_name("abcd", {"xyzd"}).empty());
  CHECK(nearest_name("learning_rare_x", {"learning_rate"}) == "learning_rate");
  CHECK(nearest_name("abcdefghi", {"abcdef"}) == "abcdef");
  CHECK(nearest_name("abcdefghi", {"abcde"}).empty());
  CHECK(nearest_name("x", {}).empty());
  CHECK(nearest_name("a48", {"a8", "a4.8"}) == "a4.8");
  CHECK(nearest_name("beta3", {"beta1", "beta2"}) == "beta1");
}

}  // namespace a48::test
