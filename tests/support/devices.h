// What this machine has, for tests that loop over instruction sets or need a GPU. No torch here.
#pragma once

#include <vector>

#include "core/base/cpu.h"

namespace a48::test {

/// Every level from reference up to what the CPU has.
inline std::vector<IsaLevel> present_isa_levels() {
  std::vector<IsaLevel> levels;
  for (int level = 0; level <= static_cast<int>(probed_isa()); ++level) {
    levels.push_back(static_cast<IsaLevel>(level));
  }
  return levels;
}

}  // namespace a48::test
