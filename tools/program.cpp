#include "tools/program.h"

#include <iostream>
#include <new>

#include "a48_version.h"
#include "core/base/check.h"
#include "core/base/log.h"

namespace a48::tools {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

ExitCode run(const std::string& name, const std::vector<std::string>& arguments, const Commands& commands) {
  const ExitCode code =
      run_command_line(name, concat(kVersion, " (commit ", kCommit, ")"), arguments, commands);
  std::cout.flush();
  A48_CHECK(std::cout.good(), ErrorKind::no_resources,
            "cannot write the output: disk full, or the reader is gone");
  return code;
}

}  // namespace

Commands torch_free_commands() {
  Commands commands;
  commands.prepare = run_prepare;
  commands.config = run_config;
  commands.bench_decode = run_bench_decode;
  commands.make_model = run_make_model;
  commands.bench_ceilings = run_bench_ceilings;
  commands.bench_kernels = run_bench_kernels;
  commands.inspect = [](const InspectOptions& options) { return run_inspect(options, {}); };
  return commands;
}

train::OpenedModel open_packed_only(const std::string& path, const Serving& serving) {
  A48_CHECK(is_packed_file(path), ErrorKind::bad_input, path,
            ": not a packed model (a file NAME.a48); `a48 export RUN --out model.a48` makes one");
  return open_packed(path, serving);
}

int run_program(const std::string& name, const std::vector<std::string>& arguments,
                const Commands& commands) {
  ExitCode code = ExitCode::internal;
  try {
    code = run(name, arguments, commands);
  } catch (const Error& error) {
    code = exit_code_of(error.kind());
    log::error(error.what());
  } catch (const std::bad_alloc&) {
    code = ExitCode::no_resources;
    log::error("not enough memory; a smaller model, batch or sequence needs less");
  } catch (const std::exception& error) {
    log::error("internal error, please report it: " + first_line(error.what()));
  }
  return static_cast<int>(code);
}

}  // namespace a48::tools
