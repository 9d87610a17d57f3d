#include "tools/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/config/nearest.h"
#include "core/config/presets.h"

namespace a48::tools {
namespace {

constexpr std::int64_t kMaxThreads = 4096;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string nearest = config::nearest_name(word, names);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::vector<std::string> mode_names() {
  std::vector<std::string> names;
  for (const quant::ModeRow& row : quant::kModes) names.emplace_back(row.name);
  return names;
}

quant::Mode mode_of(const std::string& name) {
  for (const quant::ModeRow& row : quant::kModes)
    if (name == row.name) return row.mode;
  fail(ErrorKind::config, "mode ", name, " is not known", did_you_mean(name, mode_names()),
       "; allowed: ", joined(mode_names()));
}

template <typename Number>
void check_range(const char* flag, Number value, bool holds, const char* allowed) {
  A48_CHECK(holds, ErrorKind::config, flag, " ", value, " is out of range; allowed: ", allowed);
}

void check_choice(const char* flag, const std::string& value, const std::vector<std::string>& allowed) {
  A48_CHECK(std::ranges::find(allowed, value) != allowed.end(), ErrorKind::config, flag, " ", value,
            " is not known", did_you_mean(value, allowed), "; allowed: ", joined(allowed));
}

const std::vector<std::string> kHeadNames{"f32", "bf16", "i8", "i6", "i4"};

void check_threads(int threads) {
  check_range("--threads", threads, threads >= 0 && threads <= kMaxThreads, "0 (physical cores) … 4096");
}

/// Our own usage line for each subcommand: CLI11's does not show how arguments stand together.
class Formatter : public CLI::Formatter {
 public:
  void set_usage(const CLI::App* app, std::string usage) { usages_[app] = std::move(usage); }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    const auto found = usages_.find(app);
    return found == usages_.end() ? CLI::Formatter::make_usage(app, name)
                                  : "\nUsage: " + found->second + "\n";
  }

 private:
  std::map<const CLI::App*, std::string> usages_;
};

class CommandLine {
 public:
  CommandLine(std::string program, const std::string& version, const Commands& commands)
      : program_(std::move(program)), app_("Trains and runs BitNet a4.8 language models.", program_) {
    app_.formatter(formatter_);
    formatter_->set_usage(
        &app_, program_ + " COMMAND …    (" + program_ + " COMMAND --help explains it, with an example)");
    app_.set_version_flag("--version", program_ + " " + version);
    app_.require_subcommand(1);
    if (commands.prepare) add_prepare(commands.prepare);
    if (commands.train) add_train(commands.train);
    if (commands.eval) add_eval(commands.eval);
    if (commands.generate) add_generate(commands.generate);
    if (commands.inspect) add_inspect(commands.inspect);
    if (commands.config) add_config(commands.config);
    if (commands.export_model) add_export(commands.export_model);
    add_bench(commands);
  }

  ExitCode run(const std::vector<std::string>& arguments) {
    check_command(app_, arguments, 0);
    try {
      app_.parse(
          std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
    } catch (const CLI::CallForHelp&) {
      std::cout << app_.help();
      return ExitCode::done;
    } catch (const CLI::CallForVersion& version) {
      std::cout << version.what() << "\n";
      return ExitCode::done;
    } catch (const CLI::ParseError& error) {
      report_unexpected();
      fail(ErrorKind::config, error.what(), "\n", help_hint());
    }
    return selected_();
  }

 private:
  // --- Errors
  // --------------------------------------------------------------------------------------------------------------

  /// A word that stands where a command must stand, and is none.
  void check_command(const CLI::App& parent, const std::vector<std::string>& arguments, std::size_t at) {
    std::vector<std::string> names;
    for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(command->get_name());
    if (names.empty()) return;
    const std::string path = at == 0 ? program_ : program_ + " " + arguments[0];
    A48_CHECK(at < arguments.size(), ErrorKind::config, path, ": a command is missing; one of ",
              joined(names), "\n`", path, " --help` explains them");
    const std::string& word = arguments[at];
    if (word.starts_with("-")) return;
    const bool known = std::ranges::find(names, word) != names.end();
    A48_CHECK(known, ErrorKind::config, path, " ", word, ": no such command", did_you_mean(word, names),
              "; allowed: ", joined(names));
    check_command(*parent.get_subcommand(word), arguments, at + 1);
  }

  const CLI::App& selected_app() const {
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
    return *app;
  }

  std::string command_path() const {
    std::string path = program_;
    for (const CLI::App* app = &app_; !app->get_subcommands().empty();) {
      app = app->get_subcommands().back();
      path += " " + app->get_name();
    }
    return path;
  }

  std::string help_hint() const { return "`" + command_path() + " --help` shows what is allowed"; }

  /// A word that nothing takes is named before what it may have been meant for is called missing.
  void report_unexpected() const {
    std::vector<std::string> flags;
    for (const CLI::Option* option : selected_app().get_options())
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    const std::vector<std::string> unexpected = app_.remaining(true);
    if (unexpected.empty()) return;
    const auto flag =
        std::ranges::find_if(unexpected, [](const std::string& word) { return word.starts_with("-"); });
    A48_CHECK(flag != unexpected.end(), ErrorKind::config, command_path(), ": unexpected argument ",
              unexpected.front(), "\n", help_hint());
    const std::string name = flag->substr(0, flag->find('='));
    fail(ErrorKind::config, command_path(), ": unknown flag ", name, did_you_mean(name, flags), "\n",
         help_hint());
  }

  // --- Commands
  // ------------------------------------------------------------------------------------------------------------

  CLI::App* add(CLI::App* parent, const char* name, const char* what, const std::string& usage,
                const std::string& example) {
    CLI::App* const command = parent->add_subcommand(name, what);
    command->formatter(formatter_);
    const std::string path = parent == &app_ ? program_ : program_ + " " + parent->get_name();
    formatter_->set_usage(command, path + " " + name + " " + usage);
    command->footer("Example:\n  " + path + " " + name + " " + example);
    return command;
  }

  /// `check` turns what was read into options that hold together, or throws; then the command runs.
  template <typename Options>
  void on_parsed(CLI::App* command, const std::function<ExitCode(const Options&)>& run,
                 std::shared_ptr<Options> options, std::function<void(Options&)> check = {}) {
    command->callback([this, run, options, check] {
      selected_ = [=] {
        if (check) check(*options);
        return run(*options);
      };
    });
  }

  void add_prepare(const std::function<ExitCode(const PrepareOptions&)>& run) {
    const auto options = std::make_shared<PrepareOptions>();
    data::PrepareRequest& request = options->request;
    CLI::App* const command = add(&app_, "prepare", "turns text files into a tokenizer and token shards",
                                  "--out DIR [--vocab-size N | --tokenizer FILE] TEXT…",
                                  "--out corpora/mine --vocab-size 4096 book1.txt book2.txt");
    command->add_option("TEXT", request.texts, "text files, or JSON lines with --field")->required();
    command->add_option("--out", request.out, "folder for the tokenizer, the shards and their sidecar")
        ->required();
    command->add_option("--vocab-size", request.vocab_size,
                        "train a tokenizer of this many tokens (default 4096)");
    command->add_option("--tokenizer", request.tokenizer, "use this tokenizer.model instead, or \"bytes\"");
    command->add_option("--name", request.name, "prefix of the shard files (default: the folder's name)");
    command->add_option("--split", request.split,
                        "a line that separates documents (default: a file is a document)");
    command->add_option("--field", request.field, "JSON lines: the member that holds a document's text");
    command
        ->add_option("--delimiter", request.delimiter, "token around each document: bos, eos, both or none")
        ->capture_default_str();
    command->add_option("--val-fraction", request.val_fraction, "share of the text held out for validation")
        ->capture_default_str();
    command->add_option("--licence", request.licence, "noted in the sidecar");
    command->add_option("--shard-tokens", request.shard_tokens, "tokens of a shard file")
        ->capture_default_str();
    command->add_flag("--force", request.force, "replace shards that are there");
    command->add_flag("--json", options->json, "print the sidecar");
    const CLI::Option* const vocab_size = command->get_option("--vocab-size");
    on_parsed<PrepareOptions>(command, run, options, [vocab_size](PrepareOptions& read) {
      const data::PrepareRequest& r = read.request;
      A48_CHECK(r.tokenizer.empty() || vocab_size->count() == 0, ErrorKind::config,
                "--vocab-size trains a tokenizer and --tokenizer names one: give one of them");
      check_range("--vocab-size", r.vocab_size,
                  vocab_size->count() == 0 || (r.vocab_size >= 260 && r.vocab_size < 16777216),
                  "260 … 16777215");
      check_range("--val-fraction", r.val_fraction, r.val_fraction > 0 && r.val_fraction < 1,
                  "above 0, below 1");
      check_range("--shard-tokens", r.shard_tokens, r.shard_tokens >= 1 && r.shard_tokens <= 1'000'000'000,
                  "1 … 1000000000");
      check_choice("--delimiter", r.delimiter, {"bos", "eos", "both", "none"});
    });
  }

  void add_train(const std::function<ExitCode(const TrainOptions&)>& run) {
    const auto options = std::make_shared<TrainOptions>();
    const auto words = std::make_shared<std::vector<std::string>>();
    CLI::App* const command = add(
        &app_, "train", "trains a model; a run that was stopped goes on when the same command is given again",
        "CONFIG.json [key=value…]  |  " + program_ + " train --resume RUN [key=value…]",
        "configs/tiny.json run.max_steps=500 stages.0.optim.weight_decay=0.05");
    command->add_option("CONFIG.json key=value", *words,
                        "configuration, and keys that differ from it (`config help` lists them)");
    command->add_option("--resume", options->request.resume,
                        "go on with this run folder or RUN/checkpoints/step-N, as it was configured");
    command->add_flag("--fresh", options->request.fresh,
                      "rename a run that is there aside and start at step 0");
    command->add_flag("--raise-lr", options->request.raise_lr,
                      "allow a resume whose changed schedule or length raises the learning rate");
    command->add_flag("--dry-run", options->request.dry_run,
                      "one whole step per stage, then stop; the run folder stays as it is");
    on_parsed<TrainOptions>(command, run, options, [words](TrainOptions& read) {
      train::TrainRequest& r = read.request;
      auto overrides = words->begin();
      if (r.resume.empty()) {
        A48_CHECK(!words->empty(), ErrorKind::config, "expected a configuration file, or --resume RUN");
        r.config_path = *overrides++;
      }
      A48_CHECK(r.resume.empty() || !r.fresh, ErrorKind::config,
                "--resume goes on and --fresh starts again: give one of them");
      for (auto word = overrides; word != words->end(); ++word)
        A48_CHECK(word->find('=') != std::string::npos, ErrorKind::config, "unexpected argument ", *word,
                  r.resume.empty() ? "; after the configuration" : "; with --resume",
                  " only key=value may follow");
      r.overrides.assign(overrides, words->end());
    });
  }

  void add_eval(const std::function<ExitCode(const EvalOptions&)>& run) {
    const auto options = std::make_shared<EvalOptions>();
    const auto mode = std::make_shared<std::string>();
    CLI::App* const command = add(
        &app_, "eval", "perplexity, bits per byte and sparsity of a model on held-out text",
        "MODEL (--data DIR | --text FILE…) [--mode M]", "runs/tiny --data corpora/tinyshakespeare --mode a8");
    command->add_option("MODEL", options->model, "a run or a checkpoint folder")->required();
    command->add_option("--data", options->data, "folder of shards: its validation split");
    command->add_option("--text", options->texts, "text files, each a document");
    command->add_option("--mode", *mode, "quantizers: " + joined(mode_names()) + " (default: as trained)");
    command->add_option("--logprobs", options->logprobs,
                        "write a JSON line {ids, logprobs} per piece to this file");
    command->add_option("--pieces", options->pieces, "score this many pieces, evenly spaced; 0 = all")
        ->capture_default_str();
    command->add_option("--threads", options->threads, "0 = physical cores")->capture_default_str();
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<EvalOptions>(command, run, options, [mode](EvalOptions& read) {
      A48_CHECK(read.data.empty() != read.texts.empty(), ErrorKind::config,
                "give one of --data DIR and --text FILE");
      check_range("--pieces", read.pieces, read.pieces >= 0, "0 (all) and more");
      check_threads(read.threads);
      if (!mode->empty()) read.mode = mode_of(*mode);
    });
  }

  void add_generate(const std::function<ExitCode(const GenerateOptions&)>& run) {
    const auto options = std::make_shared<GenerateOptions>();
    const auto mode = std::make_shared<std::string>();
    CLI::App* const command =
        add(&app_, "generate", "continues a prompt", "MODEL --prompt TEXT [options]",
            "runs/tiny --prompt \"In the beginning\" --max-tokens 100 --temperature 0.7");
    command->add_option("MODEL", options->model, "a run or a checkpoint folder")->required();
    command->add_option("--prompt", options->prompts, "text to continue; repeated: one batch")
        ->required()
        ->expected(1)
        ->take_all();
    command->add_option("--stop", options->stop, "end before this text; may be repeated")
        ->expected(1)
        ->take_all();
    command->add_option("--max-tokens", options->max_tokens, "new tokens at most")->capture_default_str();
    command->add_option("--temperature", options->temperature, "0 = always the likeliest token")
        ->capture_default_str();
    command->add_option("--top-k", options->top_k, "choose among the k likeliest; 0 = all")
        ->capture_default_str();
    command->add_option("--top-p", options->top_p, "choose among the likeliest that hold this share; 1 = all")
        ->capture_default_str();
    command->add_option("--seed", options->seed, "the same seed gives the same text")->capture_default_str();
    command->add_option("--mode", *mode, "quantizers: " + joined(mode_names()) + " (default: as trained)");
    command->add_option("--threads", options->threads, "0 = physical cores")->capture_default_str();
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<GenerateOptions>(command, run, options, [mode](GenerateOptions& read) {
      check_range("--max-tokens", read.max_tokens, read.max_tokens >= 1, "1 and more");
      check_range("--temperature", read.temperature, read.temperature >= 0, "0 and more");
      check_range("--top-k", read.top_k, read.top_k >= 0, "0 (all) and more");
      check_range("--top-p", read.top_p, read.top_p > 0 && read.top_p <= 1, "above 0 up to 1");
      check_range("--seed", read.seed, read.seed >= 0, "0 and more");
      check_threads(read.threads);
      if (!mode->empty()) read.mode = mode_of(*mode);
    });
  }

  void add_inspect(const std::function<ExitCode(const InspectOptions&)>& run) {
    const auto options = std::make_shared<InspectOptions>();
    CLI::App* const command =
        add(&app_, "inspect", "shows what a run, a checkpoint or a folder of shards holds", "PATH [--verify]",
            "runs/tiny --verify");
    command
        ->add_option("PATH", options->path, "a run, a checkpoint, a folder of shards, or one of their files")
        ->required();
    command->add_flag("--verify", options->verify, "read everything: hashes, token ids, finite values");
    command->add_option("--step", options->step, "of a run: which tokens this step reads, counted from 1");
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<InspectOptions>(command, run, options, [](InspectOptions& read) {
      check_range("--step", read.step, read.step >= 0, "1 and more");
    });
  }

  void add_export(const std::function<ExitCode(const ExportOptions&)>& run) {
    const auto options = std::make_shared<ExportOptions>();
    const auto mode = std::make_shared<std::string>();
    const auto format = std::make_shared<std::string>("packed");
    CLI::App* const command =
        add(&app_, "export", "writes a checkpoint as one packed file, and compares it with the checkpoint",
            "RUN --out FILE.a48 [--head CLASS]", "runs/tiny --format packed --out tiny.a48 --head i6");
    command->add_option("RUN", options->model, "a run or a checkpoint folder")->required();
    command->add_option("--format", *format, "packed")->capture_default_str();
    command->add_option("--out", options->out, "the file to write, NAME.a48")->required();
    command
        ->add_option("--head", options->head,
                     "how embedding and head are stored: f32, bf16, i8, i6, i4 (the embedding of i* is bf16)")
        ->capture_default_str();
    command->add_option("--layout", options->layout, "of q, k, v and gate: t2_row4 (faster) or t2_row")
        ->capture_default_str();
    command->add_option("--mode", *mode, "quantizers: " + joined(mode_names()) + " (default: as trained)");
    command->add_option("--kv-bits", options->kv_bits, "of keys and values when served: 32, 16, 4, 3")
        ->capture_default_str();
    command->add_option("--q-bits", options->q_bits, "of queries when served: 16, 8, 4")
        ->capture_default_str();
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<ExportOptions>(command, run, options, [mode, format](ExportOptions& read) {
      check_choice("--format", *format, {"packed"});
      check_choice("--head", read.head, kHeadNames);
      check_choice("--layout", read.layout, {"t2_row4", "t2_row"});
      A48_CHECK(read.out.ends_with(".a48"), ErrorKind::config, "--out ", read.out,
                ": the name of a packed file ends in .a48");
      if (!mode->empty()) read.mode = mode_of(*mode);
    });
  }

  void add_bench(const Commands& commands) {
    if (!commands.bench_train && !commands.bench_decode) return;
    CLI::App* const bench = add(&app_, "bench", "measures speed", "COMMAND [options]",
                                commands.bench_train ? "train --preset 11M" : "decode model.a48");
    bench->require_subcommand(1);
    if (commands.bench_train) add_bench_train(bench, commands.bench_train);
    if (commands.bench_decode) add_bench_decode(bench, commands.bench_decode, false);
    if (commands.bench_decode) add_bench_decode(bench, commands.bench_decode, true);
    if (commands.make_model) add_make_model(bench, commands.make_model);
  }

  void add_bench_decode(CLI::App* bench, const std::function<ExitCode(const BenchDecodeOptions&)>& run,
                        bool prefill) {
    const auto options = std::make_shared<BenchDecodeOptions>();
    const auto density = std::make_shared<std::vector<std::string>>();
    options->prefill = prefill;
    options->tokens = prefill ? std::vector<std::int64_t>{64, 512} : std::vector<std::int64_t>{32};
    CLI::App* const command =
        prefill
            ? add(bench, "prefill", "a packed model: tokens per second of a prompt", "MODEL.a48 [options]",
                  "model.a48 --tokens 64,512 --threads 1,2 --json")
            : add(bench, "decode", "a packed model: tokens per second, one at a time", "MODEL.a48 [options]",
                  "model.a48 --depth 0,1024 --threads 1,2 --density up=0.385,down=0.191,out=0.5");
    command->add_option("MODEL", options->model, "a packed file")->required();
    command->add_option("--tokens", options->tokens, prefill ? "tokens of the prompt" : "tokens to decode")
        ->delimiter(',')
        ->capture_default_str();
    if (!prefill)
      command->add_option("--depth", options->depths, "tokens that stand before them")
          ->delimiter(',')
          ->capture_default_str();
    command->add_option("--threads", options->threads, "each is measured; 0 = physical cores")
        ->delimiter(',')
        ->capture_default_str();
    command->add_option("--reps", options->reps, "repetitions of each test, round robin")
        ->capture_default_str();
    command->add_option("--kv-bits", options->kv_bits, "32, 16, 4 or 3; 0 = as the file says")
        ->capture_default_str();
    command->add_option("--q-bits", options->q_bits, "with --kv-bits: 16, 8 or 4")->capture_default_str();
    if (!prefill)
      command
          ->add_option("--density", *density,
                       "force shares of the work, for random weights: up=U,down=D,out=O, 1 = nothing skipped "
                       "(default: what the activations give)")
          ->delimiter(',');
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchDecodeOptions>(command, run, options, [density](BenchDecodeOptions& read) {
      for (const std::int64_t tokens : read.tokens)
        check_range("--tokens", tokens, tokens >= 1 && tokens <= 1'000'000, "1 … 1000000");
      for (const std::int64_t depth : read.depths)
        check_range("--depth", depth, depth >= 0 && depth <= 1'000'000, "0 … 1000000");
      for (const int threads : read.threads) check_threads(threads);
      check_range("--reps", read.reps, read.reps >= 1 && read.reps <= 10000, "1 … 10000");
      if (!density->empty()) read.forced = density_of(*density);
    });
  }

  static runtime::ForcedDensity density_of(const std::vector<std::string>& parts) {
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

  void add_make_model(CLI::App* bench, const std::function<ExitCode(const MakeModelOptions&)>& run) {
    const auto options = std::make_shared<MakeModelOptions>();
    const auto mode = std::make_shared<std::string>("a4.8");
    CLI::App* const command =
        add(bench, "make-model", "a packed model of a given shape with random weights",
            "--shape P --out FILE.a48 [--head CLASS]", "--shape 700M --out 700M.a48 --head i6");
    command->add_option("--shape", options->shape, "a preset: " + joined(config::preset_names()))
        ->capture_default_str();
    command->add_option("--out", options->out, "the file to write")->required();
    command->add_option("--head", options->head, "f32, bf16, i8, i6, i4")->capture_default_str();
    command->add_option("--mode", *mode, "a8, a4.8 or a4.8-fp4")->capture_default_str();
    on_parsed<MakeModelOptions>(command, run, options, [mode](MakeModelOptions& read) {
      check_choice("--shape", read.shape, config::preset_names());
      check_choice("--head", read.head, kHeadNames);
      check_choice("--mode", *mode, {"a8", "a4.8", "a4.8-fp4"});
      read.mode = mode_of(*mode);
    });
  }

  void add_bench_train(CLI::App* bench, const std::function<ExitCode(const BenchOptions&)>& run) {
    const auto options = std::make_shared<BenchOptions>();
    train::BenchRequest& request = options->request;
    CLI::App* const command = add(
        bench, "train", "a training step in each mode: time, memory saved for backward, ratio to mode none",
        "[--preset P] [--json]", "--preset 11M --steps 20 --json");
    command->add_option("--preset", request.preset, "shape: " + joined(config::preset_names()))
        ->capture_default_str();
    command
        ->add_option("--modes", request.modes, "modes, with commas between (default: none,a8,a4.8,a4.8-fp4)")
        ->delimiter(',');
    command->add_option("--batch", request.batch, "sequences of a step; 0 = as the preset is measured")
        ->capture_default_str();
    command->add_option("--sequence", request.sequence, "tokens of a sequence; 0 = as the preset is measured")
        ->capture_default_str();
    command->add_option("--vocab", request.vocab, "tokens of the vocabulary")->capture_default_str();
    command->add_option("--warmup", request.warmup, "steps before the clock starts, per mode")
        ->capture_default_str();
    command->add_option("--steps", request.steps, "timed steps, per mode")->capture_default_str();
    command->add_option("--threads", request.threads, "0 = physical cores")->capture_default_str();
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchOptions>(command, run, options, [](BenchOptions& read) {
      const train::BenchRequest& r = read.request;
      for (const std::string& name : r.modes) mode_of(name);
      check_choice("--preset", r.preset, config::preset_names());
      check_range("--batch", r.batch, r.batch >= 0, "0 and more");
      check_range("--sequence", r.sequence, r.sequence >= 0, "0 and more");
      check_range("--vocab", r.vocab, r.vocab >= 2, "2 and more");
      check_range("--warmup", r.warmup, r.warmup >= 0, "0 and more");
      check_range("--steps", r.steps, r.steps >= 1, "1 and more");
      check_threads(r.threads);
    });
  }

  void add_config(const std::function<ExitCode(const ConfigOptions&)>& run) {
    using Action = ConfigOptions::Action;
    CLI::App* const config =
        add(&app_, "config", "checks, shows and explains configurations",
            "validate|print FILE [key=value…]  |  " + program_ + " config help|schema|table",
            "print configs/tiny.json optim.learning_rate=1e-3");
    config->require_subcommand(1);
    const auto add_action = [&](Action action, const char* name, const char* what, bool takes_file) {
      const auto options = std::make_shared<ConfigOptions>();
      options->action = action;
      CLI::App* const command = add(config, name, what, takes_file ? "FILE [key=value…]" : "",
                                    takes_file ? "configs/tiny.json run.max_steps=500" : "");
      if (takes_file) {
        command->add_option("FILE", options->file, "configuration")->required();
        command->add_option("key=value", options->overrides, "keys that differ from the file");
      }
      on_parsed<ConfigOptions>(command, run, options);
    };
    add_action(Action::validate, "validate",
               "reads a configuration, reports every problem; needs no data and no GPU", true);
    add_action(Action::print, "print", "the configuration with recipe, preset and defaults written out",
               true);
    add_action(Action::help, "help", "every key with default, range and meaning", false);
    add_action(Action::schema, "schema", "JSON Schema (draft 2020-12) of a configuration", false);
    add_action(Action::table, "table", "every key as a Markdown table", false);
  }

  std::string program_;
  std::shared_ptr<Formatter> formatter_ = std::make_shared<Formatter>();
  CLI::App app_;
  std::function<ExitCode()> selected_;
};

}  // namespace

ExitCode run_command_line(const std::string& program, const std::string& version,
                          const std::vector<std::string>& arguments, const Commands& commands) {
  return CommandLine(program, version, commands).run(arguments);
}

}  // namespace a48::tools
