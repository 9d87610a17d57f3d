// What the programs a48 and a48-run share: the subcommands that need no LibTorch, and the one place where an
// error becomes an exit code.
#pragma once

#include <string>
#include <vector>

#include "tools/cli.h"

namespace a48::tools {

/// prepare, inspect, config and the torch-free benchmarks; eval and generate need a way to open models.
Commands torch_free_commands();

/// open_packed for a program that opens nothing else: another path is Error(bad_input) naming `a48 export`.
train::OpenedModel open_packed_only(const std::string& path, const Serving& serving);

/// Runs the command line; errors go to stderr, and their kind becomes the exit code (core/base/exit_code.h).
int run_program(const std::string& name, const std::vector<std::string>& arguments, const Commands& commands);

}  // namespace a48::tools
