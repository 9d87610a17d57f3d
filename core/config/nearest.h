// The name a person meant: edit distance with swapped neighbours (Damerau–Levenshtein). Used for keys,
// choices and flags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace a48::config {

/// Least number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The name with the least distance to `word`, at most max(2, length of word / 3); empty when there is none.
/// Of several the longest, since letters are more often left out than added, then the first.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

}  // namespace a48::config
