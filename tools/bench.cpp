// `a48 bench train`, and `a48 bench kernels` on a GPU: measures (training/bench.cpp, bench_gpu.cpp), then
// prints the table or its JSON.
#include <cstdio>

#include "core/base/check.h"
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
  if (machine.find("gpu") != nullptr) std::printf("%s, bf16\n", machine.at("gpu").as_string().c_str());
  std::printf("%-14s %10s %17s %10s %12s %12s %8s %7s %7s\n", "mode", "ms/step", "quartiles", "tok/s",
              "saved MB", "memory MB", "ratio", "MFU", "SOL");
  for (const auto& [name, mode] : result.at("modes").as_object()) {
    const Json& step = mode.at("step_ms");
    char ratio[16] = "n/a";
    if (mode.at("ratio").is_number())
      std::snprintf(ratio, sizeof ratio, "%.3f", mode.at("ratio").as_double());
    const auto share = [&](const char* key) {
      return mode.find(key) != nullptr
                 ? concat(static_cast<int>(1000.0 * mode.at(key).as_double()) / 10.0, "%")
                 : std::string("n/a");
    };
    std::printf("%-14s %10.1f %8.1f-%8.1f %10.0f %12.1f %12.1f %8s %7s %7s\n", name.c_str(),
                step.at("median").as_double(), step.at("q1").as_double(), step.at("q3").as_double(),
                mode.at("tokens_per_s").as_double(),
                static_cast<double>(mode.at("saved_bytes").as_int()) * 1e-6,
                static_cast<double>(mode.at("memory_bytes").as_int()) * 1e-6, ratio, share("mfu").c_str(),
                share("sol").c_str());
  }
  return ExitCode::done;
}

ExitCode run_bench_gpu_kernels(const BenchKernelsOptions& options) {
  const Json result = train::bench_gpu_kernels();
  if (options.json) {
    std::printf("%s\n", result.dump(2).c_str());
    return ExitCode::done;
  }
  const Json& ceilings = result.at("ceilings");
  std::printf("%s; read %.0f GB/s, copy %.0f GB/s, bf16 %.0f TFLOP/s, int8 %.0f TOP/s, launch %.2f us\n",
              result.at("gpu").as_string().c_str(), ceilings.at("read_gb_s").as_double(),
              ceilings.at("copy_gb_s").as_double(), ceilings.at("bf16_tflops").as_double(),
              ceilings.at("int8_tops").as_double(), ceilings.at("launch_us").as_double());
  std::printf("%-32s %-24s %10s %19s %8s\n", "kernel", "shape", "us", "quartiles", "share");
  for (const Json& row : result.at("kernels").as_array()) {
    const Json& us = row.at("us");
    char share[16] = "n/a";
    if (row.at("share").is_number()) std::snprintf(share, sizeof share, "%.3f", row.at("share").as_double());
    std::printf("%-32s %-24s %10.1f %9.1f-%9.1f %8s\n", row.at("name").as_string().c_str(),
                row.at("shape").as_string().c_str(), us.at("median").as_double(), us.at("q1").as_double(),
                us.at("q3").as_double(), share);
  }
  return ExitCode::done;
}

}  // namespace a48::tools
