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
#include "core/base/json.h"
#include "core/quant/scheme.h"
#include "core/runtime/decoder.h"
#include "data/prepare.h"
#include "training/bench.h"
#include "training/scorer.h"
#include "training/trainer.h"

namespace a48::tools {

/// Opens a run or checkpoint folder in the given mode (unset: as trained).
using ModelOpener =
    std::function<train::OpenedModel(const std::string& path, std::optional<quant::Mode> mode)>;
/// How a model is to compute; unset: as it says.
struct Serving {
  std::optional<quant::Mode> mode;
  std::optional<runtime::CacheFormat> cache;  // keys, values and queries at fewer bits
  bool gpu = false;
};
/// Opens MODEL, a checkpoint or a packed file. main.cpp hands it to the subcommands that score or generate,
/// so that these do not depend on what a model is stored in.
using ServingOpener = std::function<train::OpenedModel(const std::string& path, const Serving& serving)>;

/// A packed file in the torch-free runtime: what a48-run hands in, and a48 for paths that are such a file.
train::OpenedModel open_packed(const std::string& path, const Serving& serving);
/// The decoder of the CPU, or of the GPU.
std::unique_ptr<runtime::LanguageModel> decoder_of(runtime::PackedModel model,
                                                   const runtime::DecoderOptions& options, bool gpu);
bool is_packed_file(const std::string& path);
/// Of --kv-bits and --q-bits; 0 bits: unset.
std::optional<runtime::CacheFormat> cache_format_of(int kv_bits, int q_bits);

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
  int kv_bits = 0, q_bits = 16;     // 0 = as the model says
  bool gpu = false;
  bool report = false;  // with other cache formats too
  bool json = false;
};
ExitCode run_eval(const EvalOptions& options, const ServingOpener& open);

struct GenerateOptions {
  std::string model;
  std::vector<std::string> prompts;  // --prompt, repeated: one batch
  std::string prompts_file;          // in place of them: one a line
  bool interactive = false;          // in place of them: from stdin, one after the other
  std::vector<std::string> stop;     // --stop, repeated: text ends before the first of these
  std::int64_t max_tokens = 128;
  double temperature = 0.8;  // 0 = always the likeliest token
  std::int64_t top_k = 0;    // 0 = off
  double top_p = 1.0;        // 1 = off
  std::int64_t seed = 1;
  std::optional<quant::Mode> mode;
  int threads = 0;
  int kv_bits = 0, q_bits = 16;  // 0 = as the model says
  bool gpu = false;
  bool json = false;
};
ExitCode run_generate(const GenerateOptions& options, const ServingOpener& open);

struct ExportOptions {
  std::string model;               // a run or a checkpoint folder
  std::string out;                 // the packed file
  std::string head = "bf16";       // f32, bf16, i8, i6, i4
  std::string layout = "t2_row4";  // of q, k, v, gate; or t2_row
  std::optional<quant::Mode> mode;
  int kv_bits = 32, q_bits = 16;  // what the file serves with unless told otherwise
  bool json = false;
};
/// `open` gives the trainer's own evaluation of the checkpoint, `open_bf16` with embedding and head rounded.
ExitCode run_export(const ExportOptions& options, const ModelOpener& open, const ModelOpener& open_bf16);

struct InspectOptions {
  std::string path;  // a run, a checkpoint, a folder of shards, or one file of these
  bool json = false;
  bool verify = false;               // read everything: hashes, ids, finite values
  std::optional<std::int64_t> step;  // of a run: the tokens that this step read, counted from 1
};
/// Which tokens a step of a run read; needs the trainer's knowledge, hence handed in by main.cpp.
using StepReader = std::function<Json(const std::string& run, std::int64_t step)>;
/// Of a packed model (inspect_packed.cpp).
Json packed_report(const std::string& path, bool verify);
ExitCode run_inspect(const InspectOptions& options, const StepReader& data_read_at);

struct BenchOptions {
  train::BenchRequest request;
  bool json = false;
};
ExitCode run_bench_train(const BenchOptions& options);

/// `bench ceilings`: what the machine can do. `bench kernels`: what each ternary kernel makes of it.
struct BenchCeilingsOptions {
  std::vector<int> threads{1, 2};
  int reps = 41;
  bool json = false;
};
ExitCode run_bench_ceilings(const BenchCeilingsOptions& options);
struct BenchKernelsOptions {
  std::vector<std::string> shapes{"700M", "2B"};
  std::string only;  // products whose name holds this; empty = all
  std::vector<int> threads{1, 2};
  int reps = 31;
  bool json = false;
  bool gpu = false;
};
ExitCode run_bench_kernels(const BenchKernelsOptions& options);
/// The same of a GPU; needs LibTorch, hence handed in by main.cpp.
ExitCode run_bench_gpu_kernels(const BenchKernelsOptions& options);

/// `bench decode` and `bench prefill`: a packed model, one sequence at a time.
struct BenchDecodeOptions {
  std::string model;
  bool prefill = false;
  std::vector<std::int64_t> tokens;     // generated (decode) or fed together (prefill)
  std::vector<std::int64_t> depths{0};  // tokens that stand before them
  std::vector<int> threads{1, 2};       // 0 = physical cores
  int reps = 5;
  int kv_bits = 0, q_bits = 16;  // 0 = as the file says
  std::optional<runtime::ForcedDensity> forced;
  bool gpu = false;  // then without threads and forced densities
  bool json = false;
};
ExitCode run_bench_decode(const BenchDecodeOptions& options);

struct MakeModelOptions {
  std::string shape = "700M";  // a preset
  std::string out;
  std::string head = "bf16";
  quant::Mode mode = quant::Mode::a4_8;
  std::int64_t context = 0;  // positions; 0 = the preset's
};
ExitCode run_make_model(const MakeModelOptions& options);

struct ConfigOptions {
  enum class Action { validate, print, schema, help, table };
  Action action = Action::validate;
  std::string file;                    // of validate and print
  std::vector<std::string> overrides;  // section.key=value
};
ExitCode run_config(const ConfigOptions& options);

}  // namespace a48::tools
