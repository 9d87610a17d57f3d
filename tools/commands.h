// The subcommands: one function each, in tools/<subcommand>.cpp, and what its flags say. Flags are read by
// cli.cpp; an Error that leaves a function becomes an exit code in main.cpp. Results go to stdout, messages
// to stderr (core/base/log.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/exit_code.h"
#include "core/quant/scheme.h"
#include "data/prepare.h"
#include "training/bench.h"
#include "training/scorer.h"
#include "training/trainer.h"

namespace a48::tools {

/// Opens MODEL, a run or checkpoint folder, in the given mode (unset: as trained). main.cpp hands it to the
/// subcommands that score or generate, so that these do not depend on what a model is stored in.
using ModelOpener =
    std::function<train::OpenedModel(const std::string& path, std::optional<quant::Mode> mode)>;

struct PrepareOptions {
  data::PrepareRequest request;
  bool json = false;  // print the sidecar
};
ExitCode run_prepare(const PrepareOptions& options);

struct TrainOptions {
  train::TrainRequest request;
};
ExitCode run_train(const TrainOptions& options);

struct EvalOptions {
  std::string model;
  std::string data;                // folder of shards; exclusive with texts; both empty is refused by cli.cpp
  std::vector<std::string> texts;  // each file a document
  std::optional<quant::Mode> mode;  // unset: as trained
  std::string logprobs;             // JSON lines, one per piece; empty = none
  std::int64_t pieces = 0;          // this many, evenly spaced; 0 = all
  int threads = 0;                  // 0 = physical cores
  bool json = false;
};
ExitCode run_eval(const EvalOptions& options, const ModelOpener& open);

struct GenerateOptions {
  std::string model;
  std::vector<std::string> prompts;  // --prompt, repeated: one batch
  std::vector<std::string> stop;     // --stop, repeated: text ends before the first of these
  std::int64_t max_tokens = 128;
  double temperature = 0.8;  // 0 = always the likeliest token
  std::int64_t top_k = 0;    // 0 = off
  double top_p = 1.0;        // 1 = off
  std::int64_t seed = 1;
  std::optional<quant::Mode> mode;
  int threads = 0;
  bool json = false;
};
ExitCode run_generate(const GenerateOptions& options, const ModelOpener& open);

struct InspectOptions {
  std::string path;  // a run, a checkpoint, a folder of shards, or one file of these
  bool json = false;
  bool verify = false;    // read everything: hashes, ids, finite values
  std::int64_t step = 0;  // of a run: the tokens that this step read; 0 = not asked
};
/// Which tokens a step of a run read; needs the trainer's knowledge, hence handed in by main.cpp.
using StepReader = std::function<Json(const std::string& run, std::int64_t step)>;
ExitCode run_inspect(const InspectOptions& options, const StepReader& data_read_at);

struct BenchOptions {
  train::BenchRequest request;
  bool json = false;
};
ExitCode run_bench_train(const BenchOptions& options);

struct ConfigOptions {
  enum class Action { validate, print, schema, help, table };
  Action action = Action::validate;
  std::string file;                    // of validate and print
  std::vector<std::string> overrides;  // section.key=value
};
ExitCode run_config(const ConfigOptions& options);

}  // namespace a48::tools
