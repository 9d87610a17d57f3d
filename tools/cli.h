// Flags of every subcommand, their help with an example each, and the nearest flag for a misspelt one. What
// the subcommands do: commands.h. Next: cli.cpp, cli_bench.cpp; both are written in flags.h, the only user of
// CLI11.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/exit_code.h"
#include "tools/commands.h"

namespace a48::tools {

/// What a program offers: a subcommand whose function is empty does not exist in it.
struct Commands {
  std::function<ExitCode(const PrepareOptions&)> prepare;
  std::function<ExitCode(const TrainOptions&)> train;
  std::function<ExitCode(const EvalOptions&)> eval;
  std::function<ExitCode(const GenerateOptions&)> generate;
  std::function<ExitCode(const InspectOptions&)> inspect;
  std::function<ExitCode(const ExportOptions&)> export_model;
  std::function<ExitCode(const BenchOptions&)> bench_train;
  std::function<ExitCode(const BenchDecodeOptions&)> bench_decode;  // and prefill
  std::function<ExitCode(const MakeModelOptions&)> make_model;
  std::function<ExitCode(const BenchCeilingsOptions&)> bench_ceilings;
  std::function<ExitCode(const BenchKernelsOptions&)> bench_kernels;
  std::function<ExitCode(const ConfigOptions&)> config;
};

/// Reads `arguments` (without the program's name) and calls the one subcommand that they name. Help and
/// version go to stdout. A usage error is Error(config) with what is allowed.
ExitCode run_command_line(const std::string& program, const std::string& version,
                          const std::vector<std::string>& arguments, const Commands& commands);

}  // namespace a48::tools
