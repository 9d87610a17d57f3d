// `a48 config`: what core/config knows about a configuration, as text.
#include <iostream>

#include "core/base/log.h"
#include "core/config/load.h"
#include "core/config/print.h"
#include "core/config/validate.h"
#include "tools/commands.h"

namespace a48::tools {
namespace {

void validate(const ConfigOptions& options) {
  const config::RunConfig run = config::load_file(options.file, options.overrides);
  for (const std::string& warning : config::warnings(run)) log::warning(warning);
  std::cout << options.file << ": valid; " << config::total_parameters(run.model) << " parameters, "
            << run.stages.size() << (run.stages.size() == 1 ? " stage, " : " stages, ") << run.run.max_steps
            << " steps\n";
}

}  // namespace

ExitCode run_config(const ConfigOptions& options) {
  switch (options.action) {
    case ConfigOptions::Action::validate:
      validate(options);
      break;
    case ConfigOptions::Action::print:
      std::cout << config::resolved_text(config::load_file(options.file, options.overrides));
      break;
    case ConfigOptions::Action::schema:
      std::cout << config::json_schema().dump(2) << "\n";
      break;
    case ConfigOptions::Action::help:
      std::cout << config::help_table();
      break;
    case ConfigOptions::Action::table:
      std::cout << config::markdown_table();
      break;
  }
  return ExitCode::done;
}

}  // namespace a48::tools
