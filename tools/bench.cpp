// `a48 bench train`: measures (training/bench.cpp), then prints the table or its JSON.
#include <cstdio>

#include "core/base/json.h"
#include "tools/commands.h"

namespace a48::tools {

ExitCode run_bench_train(const BenchOptions& options) {
  const Json result = train::bench_train(options.request);
  if (options.json) {
    std::printf("%s\n", result.dump(2).c_str());
    return ExitCode::done;
  }
  const Json& machine = result.at("machine");
  std::printf("%s, %lld threads, %s; %s, %lld tokens a step\n", machine.at("cpu").as_string().c_str(),
              static_cast<long long>(machine.at("threads").as_int()), machine.at("isa").as_string().c_str(),
              result.at("preset").as_string().c_str(), static_cast<long long>(result.at("tokens").as_int()));
  std::printf("%-10s %10s %17s %10s %12s %8s\n", "mode", "ms/step", "quartiles", "tok/s", "saved MB",
              "ratio");
  for (const auto& [name, mode] : result.at("modes").as_object()) {
    const Json& step = mode.at("step_ms");
    char ratio[16] = "n/a";
    if (mode.at("ratio").is_number())
      std::snprintf(ratio, sizeof ratio, "%.3f", mode.at("ratio").as_double());
    std::printf("%-10s %10.1f %8.1f-%8.1f %10.0f %12.1f %8s\n", name.c_str(), step.at("median").as_double(),
                step.at("q1").as_double(), step.at("q3").as_double(), mode.at("tokens_per_s").as_double(),
                static_cast<double>(mode.at("saved_bytes").as_int()) * 1e-6, ratio);
  }
  return ExitCode::done;
}

}  // namespace a48::tools
