#include "tools/cli_bench.h"

#include <cstdlib>

#include "core/config/presets.h"
#include "tools/flags.h"

namespace a48::tools {
namespace {

constexpr int kMaxBenchSteps = 1'000'000;
constexpr std::int64_t kMaxBenchTokens = 1'000'000;

void add_bench_threads(CLI::App* command, std::vector<int>& threads) {
  add_numbers(command, "--threads", threads, {0, kMaxThreads, " (physical cores)"},
              "each is measured; 0 = physical cores");
}

runtime::ForcedDensity density_of(const std::vector<std::string>& parts) {
  runtime::ForcedDensity density;
  const std::map<std::string, double*> places{
      {"up", &density.up}, {"down", &density.down}, {"out", &density.out}};
  for (const std::string& part : parts) {
    const std::size_t equal = part.find('=');
    const auto place = places.find(part.substr(0, equal));
    char* end = nullptr;
    const double value = equal == std::string::npos ? -1.0 : std::strtod(part.c_str() + equal + 1, &end);
    A48_CHECK(place != places.end() && end != nullptr && *end == '\0' && value >= 0.0 && value <= 1.0,
              ErrorKind::config, "--density ", part,
              " is not known; allowed: up=U, down=D, out=O, each 0 … 1");
    *place->second = value;
  }
  return density;
}

void add_bench_decode(CommandTree& tree, CLI::App* bench,
                      const std::function<ExitCode(const BenchDecodeOptions&)>& run, bool prefill) {
  const auto options = std::make_shared<BenchDecodeOptions>();
  const auto density = std::make_shared<std::vector<std::string>>();
  options->prefill = prefill;
  options->tokens = prefill ? std::vector<std::int64_t>{64, 512} : std::vector<std::int64_t>{32};
  CLI::App* const command =
      prefill ? tree.add(bench, "prefill", "a packed model: tokens per second of a prompt",
                         "MODEL.a48 [options]", "model.a48 --tokens 64,512 --threads 1,2 --json")
              : tree.add(bench, "decode", "a packed model: tokens per second, one at a time",
                         "MODEL.a48 [options]",
                         "model.a48 --depth 0,1024 --threads 1,2 --density up=0.385,down=0.191,out=0.5");
  command->add_option("MODEL", options->model, "a packed file")->required();
  add_numbers(command, "--tokens", options->tokens, {1, kMaxBenchTokens},
              prefill ? "tokens of the prompt" : "tokens to decode");
  if (!prefill)
    add_numbers(command, "--depth", options->depths, {0, kMaxBenchTokens}, "tokens that stand before them");
  add_bench_threads(command, options->threads);
  add_number(command, "--reps", options->reps, {1, 10000}, "repetitions of each test, round robin");
  add_cache_format(command, options->kv_bits, options->q_bits);
  if (!prefill)
    command
        ->add_option("--density", *density,
                     "force shares of the work, for random weights: up=U,down=D,out=O, 1 = nothing skipped "
                     "(default: what the activations give)")
        ->delimiter(',');
  const auto device = add_device(command, "where the model computes; on a GPU nothing is skipped");
  command->add_flag("--json", options->json, "print one JSON object");
  tree.on_parsed<BenchDecodeOptions>(command, run, options, [density, device](BenchDecodeOptions& read) {
    if (!density->empty()) read.forced = density_of(*density);
    read.gpu = is_gpu(*device);
    A48_CHECK(
        !read.gpu || !read.forced, ErrorKind::config,
        "--density is of the CPU: on a GPU every weight is read; leave out one of --density and --device");
  });
}

void add_bench_ceilings(CommandTree& tree, CLI::App* bench,
                        const std::function<ExitCode(const BenchCeilingsOptions&)>& run) {
  const auto options = std::make_shared<BenchCeilingsOptions>();
  CLI::App* const command =
      tree.add(bench, "ceilings", "what this machine can do: memory, caches, integer products",
               "[--threads 1,2] [--json]", "--threads 1,2");
  add_bench_threads(command, options->threads);
  add_number(command, "--reps", options->reps, {1, 10000}, "repetitions of each measurement");
  command->add_flag("--json", options->json, "print one JSON object");
  tree.on_parsed<BenchCeilingsOptions>(command, run, options);
}

void add_bench_kernels(CommandTree& tree, CLI::App* bench,
                       const std::function<ExitCode(const BenchKernelsOptions&)>& run) {
  const auto options = std::make_shared<BenchKernelsOptions>();
  CLI::App* const command = tree.add(
      bench, "kernels", "each ternary product, from memory and from cache, checked against the reference",
      "[--shape 700M,2B] [--only NAME] [--json]", "--shape 2B --only columns");
  command->add_option("--shape", options->shapes, "700M, 2B")->delimiter(',')->capture_default_str();
  command->add_option("--only", options->only, "products whose name holds this (default: all)");
  add_bench_threads(command, options->threads);
  add_number(command, "--reps", options->reps, {1, 10000}, "repetitions of each measurement");
  const auto device = add_device(command, "the CPU's kernels, or the GPU's in shapes of their own");
  command->add_flag("--json", options->json, "print one JSON object");
  tree.on_parsed<BenchKernelsOptions>(command, run, options, [device](BenchKernelsOptions& read) {
    read.gpu = is_gpu(*device);
    for (const std::string& shape : read.shapes) check_choice("--shape", shape, {"700M", "2B"});
  });
}

void add_make_model(CommandTree& tree, CLI::App* bench,
                    const std::function<ExitCode(const MakeModelOptions&)>& run) {
  const auto options = std::make_shared<MakeModelOptions>();
  const auto mode = std::make_shared<std::string>("a4.8");
  CLI::App* const command = tree.add(
      bench, "make-model", "a packed model of a given shape with random weights",
      "--shape P --out FILE.a48 [--head CLASS] [--context N]", "--shape 700M --out 700M.a48 --head i6");
  command->add_option("--shape", options->shape, "a preset: " + joined(config::preset_names()))
      ->capture_default_str();
  command->add_option("--out", options->out, "the file to write")->required();
  command->add_option("--head", options->head, "f32, bf16, i8, i6, i4")->capture_default_str();
  command->add_option("--mode", *mode, "a8, a4.8 or a4.8-fp4")->capture_default_str();
  add_number(command, "--context", options->context, {0, kMaxBenchTokens, " (the preset's)"},
             "positions that a sequence may have; 0 = the preset's");
  tree.on_parsed<MakeModelOptions>(command, run, options, [mode](MakeModelOptions& read) {
    check_choice("--shape", read.shape, config::preset_names());
    check_choice("--head", read.head, head_names());
    check_choice("--mode", *mode, {"a8", "a4.8", "a4.8-fp4"});
    read.mode = mode_of(*mode);
  });
}

void add_bench_train(CommandTree& tree, CLI::App* bench,
                     const std::function<ExitCode(const BenchOptions&)>& run) {
  const auto options = std::make_shared<BenchOptions>();
  train::BenchRequest& request = options->request;
  CLI::App* const command = tree.add(
      bench, "train", "a training step in each mode: time, memory saved for backward, ratio to mode none",
      "[--preset P] [--json]", "--preset 11M --steps 20 --json");
  command->add_option("--preset", request.preset, "shape: " + joined(config::preset_names()))
      ->capture_default_str();
  command
      ->add_option("--modes", request.modes,
                   "modes, with commas between (default: none,a8,a4.8,a4.8-fp4); a8-eager is a8 as chained "
                   "LibTorch calls compute it")
      ->delimiter(',');
  add_number(command, "--batch", request.batch, {0, kMaxCount, " (as measured)"},
             "sequences of a step; 0 = as the preset is measured");
  add_number(command, "--sequence", request.sequence, {0, kMaxCount, " (as measured)"},
             "tokens of a sequence; 0 = as the preset is measured");
  add_number(command, "--vocab", request.vocab, {0, kMaxVocab, " (4096, on a GPU the preset's)"},
             "tokens of the vocabulary; 0 = 4096, on a GPU the preset's");
  add_number(command, "--warmup", request.warmup, {0, kMaxBenchSteps},
             "steps before the clock starts, per mode");
  add_number(command, "--steps", request.steps, {1, kMaxBenchSteps}, "timed steps, per mode");
  add_threads(command, request.threads);
  command->add_flag("--bf16-backward", request.bf16_backward,
                    "backward products of the quantized modes in bf16 (run.backward_dtype)");
  command->add_flag("--recompute-glu", request.recompute_glu,
                    "on a GPU: gate and up again in backward (run.recompute_glu)");
  const auto device = add_device(command, "where the steps are made; on a GPU in bf16");
  command->add_flag("--json", options->json, "print one JSON object");
  tree.on_parsed<BenchOptions>(command, run, options, [device](BenchOptions& read) {
    train::BenchRequest& r = read.request;
    r.gpu = is_gpu(*device);
    for (const std::string& name : r.modes) mode_of(name.substr(0, name.find("-eager")));
    check_choice("--preset", r.preset, config::preset_names());
  });
}

}  // namespace

void add_bench(CommandTree& tree, const Commands& commands) {
  if (!commands.bench_train && !commands.bench_decode) return;
  CLI::App* const bench = tree.add(nullptr, "bench", "measures speed", "COMMAND [options]",
                                   commands.bench_train ? "train --preset 11M" : "decode model.a48");
  bench->require_subcommand(1);
  if (commands.bench_train) add_bench_train(tree, bench, commands.bench_train);
  if (commands.bench_decode) add_bench_decode(tree, bench, commands.bench_decode, false);
  if (commands.bench_decode) add_bench_decode(tree, bench, commands.bench_decode, true);
  if (commands.make_model) add_make_model(tree, bench, commands.make_model);
  if (commands.bench_ceilings) add_bench_ceilings(tree, bench, commands.bench_ceilings);
  if (commands.bench_kernels) add_bench_kernels(tree, bench, commands.bench_kernels);
}

}  // namespace a48::tools
