// The flags of `bench` and of what it measures. Used by cli.cpp.
#pragma once

#include "tools/cli.h"

namespace a48::tools {

class CommandTree;

/// Nothing where the program has no benchmark.
void add_bench(CommandTree& tree, const Commands& commands);

}  // namespace a48::tools
