// The program a48. Flags: cli.cpp; each subcommand: tools/<subcommand>.cpp, which goes down from there
// (train.cpp to training/trainer.cpp).
#include <unistd.h>

#include <cstdlib>

#include "tools/checkpoint_masters.h"
#include "tools/program.h"

namespace {

/// LibTorch's threads would spin while they wait, which costs milliseconds a step on a machine that others
/// use too. libgomp reads its policy before main, so the program starts itself once more when none is set.
void wait_without_spinning(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "passive", 0) != 0) return;
  execv("/proc/self/exe", argv);  // returns only where that is not possible: then threads spin
}

a48::train::OpenedModel open_any(const std::string& path, const a48::tools::Serving& serving) {
  using namespace a48;
  if (tools::is_packed_file(path)) return tools::open_packed_only(path, serving);
  if (serving.cache) return tools::packed_in_memory(train::open_model(path, serving.mode), serving);
  return serving.gpu ? train::open_model_on_gpu(path, serving.mode) : train::open_model(path, serving.mode);
}

}  // namespace

int main(int argc, char** argv) {
  wait_without_spinning(argv);
  using namespace a48::tools;
  Commands commands = torch_free_commands();
  commands.train = run_train;
  commands.eval = [](const EvalOptions& options) { return run_eval(options, open_any); };
  commands.generate = [](const GenerateOptions& options) { return run_generate(options, open_any); };
  commands.inspect = [](const InspectOptions& options) {
    return run_inspect(options, a48::train::data_read_at);
  };
  commands.bench_train = run_bench_train;
  commands.bench_kernels = [](const BenchKernelsOptions& options) {
    return options.gpu ? run_bench_gpu_kernels(options) : run_bench_kernels(options);
  };
  commands.export_model = [](const ExportOptions& options) {
    return run_export(options, a48::train::open_model, a48::train::open_bf16_model);
  };
  return run_program("a48", {argv + 1, argv + argc}, commands);
}
