// The program a48-run: the subcommands that need no LibTorch, on packed models. It starts at once and is
// small; everything else is in a48 (main.cpp).
#include "tools/program.h"

int main(int argc, char** argv) {
  using namespace a48::tools;
  Commands commands = torch_free_commands();
  commands.eval = [](const EvalOptions& options) { return run_eval(options, open_packed_only); };
  commands.generate = [](const GenerateOptions& options) { return run_generate(options, open_packed_only); };
  return run_program("a48-run", {argv + 1, argv + argc}, commands);
}
