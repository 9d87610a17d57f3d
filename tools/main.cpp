// The program a48. Flags: cli.cpp; each subcommand: tools/<subcommand>.cpp, which goes down from there
// (train.cpp to training/trainer.cpp). Here alone an error becomes an exit code.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "a48_version.h"
#include "core/base/check.h"
#include "core/base/log.h"
#include "tools/cli.h"

namespace {

/// LibTorch's threads would spin while they wait, which costs milliseconds a step on a machine that others
/// use too. libgomp reads its policy before main, so the program starts itself once more when none is set.
void wait_without_spinning(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "passive", 0) != 0) return;
  execv("/proc/self/exe", argv);  // returns only where that is not possible: then threads spin
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

a48::ExitCode run(const std::vector<std::string>& arguments) {
  using namespace a48;
  tools::Commands commands;
  commands.prepare = tools::run_prepare;
  commands.train = tools::run_train;
  commands.eval = [](const tools::EvalOptions& options) {
    return tools::run_eval(options, train::open_model);
  };
  commands.generate = [](const tools::GenerateOptions& options) {
    return tools::run_generate(options, train::open_model);
  };
  commands.inspect = [](const tools::InspectOptions& options) {
    return tools::run_inspect(options, train::data_read_at);
  };
  commands.bench_train = tools::run_bench_train;
  commands.config = tools::run_config;
  const ExitCode code =
      tools::run_command_line("a48", concat(kVersion, " (commit ", kCommit, ")"), arguments, commands);
  std::cout.flush();
  A48_CHECK(std::cout.good(), ErrorKind::no_resources,
            "cannot write the output: disk full, or the reader is gone");
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  wait_without_spinning(argv);
  using a48::ExitCode;
  ExitCode code = ExitCode::internal;
  try {
    code = run({argv + 1, argv + argc});
  } catch (const a48::Error& error) {
    code = a48::exit_code_of(error.kind());
    a48::log::error(error.what());
  } catch (const std::bad_alloc&) {
    code = ExitCode::no_resources;
    a48::log::error("not enough memory; a smaller model, batch or sequence needs less");
  } catch (const std::exception& error) {
    a48::log::error("internal error, please report it: " + first_line(error.what()));
  }
  return static_cast<int>(code);
}
