#include "tools/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <iostream>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/config/nearest.h"
#include "core/config/presets.h"

namespace a48::tools {
namespace {

constexpr int kMaxThreads = 4096, kMaxBenchSteps = 1'000'000;
constexpr std::int64_t kMaxBenchTokens = 1'000'000;
constexpr std::int64_t kMaxCount = 1'000'000'000;               // of tokens, steps, pieces
constexpr std::int64_t kMaxSeed = (std::int64_t{1} << 53) - 1;  // as in configurations
constexpr std::int64_t kMaxVocab = (1 << 24) - 1;
constexpr double kMaxTemperature = 1000;

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

constexpr const char* kModelHelp = "a run, a checkpoint folder, or a packed file NAME.a48";
const std::vector<std::string> kHeadNames{"f32", "bf16", "i8", "i6", "i4"};

void check_choice(const char* flag, const std::string& value, const std::vector<std::string>& allowed) {
  A48_CHECK(std::ranges::find(allowed, value) != allowed.end(), ErrorKind::config, flag, " ", value,
            " is not known", did_you_mean(value, allowed), "; allowed: ", joined(allowed));
}

/// What a numeric flag may be.
template <typename Number>
struct Range {
  Number least, most;
  const char* note = "";       // in brackets behind the least, or what else to know
  bool without_least = false;  // the least itself is not allowed
};

template <typename Number>
std::string text_of(const Range<Number>& range) {
  return concat(range.without_least ? "above " : "", range.least, range.note,
                range.without_least ? " up to " : " … ", range.most);
}

/// The whole word as a number of its kind and range; CLI11 would cut oversize integers to what fits and take
/// "inf" for a number.
template <typename Number>
Number number_of(const std::string& flag, const std::string& word, const Range<Number>& range) {
  constexpr const char* kKind = std::is_integral_v<Number> ? "an integer" : "a number";
  Number value{};
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  const bool is_number = stop == end && !word.empty() && error != std::errc::invalid_argument;
  if (!is_number)
    throw CLI::ValidationError(concat(flag, " \"", word, "\" is not ", kKind, "; allowed: ", text_of(range)));
  const bool holds = error == std::errc() && value <= range.most &&
                     (range.without_least ? value > range.least : value >= range.least);
  if (!holds)
    throw CLI::ValidationError(concat(flag, " ", word, " is out of range; allowed: ", text_of(range)));
  return value;
}

template <typename Number>
CLI::Option* add_number(CLI::App* command, const std::string& flag, Number& value, const Range<Number>& range,
                        const std::string& help) {
  const auto read = [flag, &value, range](const std::string& word) { value = number_of(flag, word, range); };
  return command->add_option_function<std::string>(flag, read, help)
      ->type_name(std::is_integral_v<Number> ? "INT" : "NUMBER")
      ->default_str(concat(value));
}

/// Several numbers with commas between.
template <typename Number>
CLI::Option* add_numbers(CLI::App* command, const std::string& flag, std::vector<Number>& values,
                         const Range<Number>& range, const std::string& help) {
  const auto read = [flag, &values, range](const std::vector<std::string>& words) {
    values.clear();
    for (const std::string& word : words) values.push_back(number_of(flag, word, range));
  };
  std::string shown;
  for (const Number value : values) shown += concat(shown.empty() ? "" : ",", value);
  return command->add_option_function<std::vector<std::string>>(flag, read, help)
      ->type_name("INT,…")
      ->delimiter(',')
      ->default_str(shown);
}

CLI::Option* add_threads(CLI::App* command, int& threads) {
  return add_number(command, "--threads", threads, {0, kMaxThreads, " (physical cores)"},
                    "0 = physical cores");
}

/// Of a key that is given twice one value would silently win.
void check_overrides(const std::vector<std::string>& overrides) {
  std::map<std::string, std::string> seen;
  for (const std::string& word : overrides) {
    const auto [earlier, is_new] = seen.emplace(word.substr(0, word.find('=')), word);
    A48_CHECK(is_new, ErrorKind::config, earlier->first, " is given twice: ", earlier->second, " and ", word,
              "; give it once");
  }
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

  /// What a packed model, or a checkpoint as one, keeps of keys and values.
  static void add_cache_format(CLI::App* command, int& kv_bits, int& q_bits) {
    command
        ->add_option("--kv-bits", kv_bits,
                     "keys and values are kept at 32, 16, 4 or 3 bits; 0 = as the model says")
        ->check(CLI::IsMember({0, 32, 16, 4, 3}))
        ->capture_default_str();
    command
        ->add_option("--q-bits", q_bits, "with --kv-bits 4 or 3: queries at 16 (not quantized), 8 or 4 bits")
        ->check(CLI::IsMember({16, 8, 4}))
        ->capture_default_str();
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
    const CLI::Option* const vocab_size =
        add_number(command, "--vocab-size", request.vocab_size, {260, kMaxVocab},
                   "train a tokenizer of this many tokens (default 4096)")
            ->default_str("");
    command->add_option("--tokenizer", request.tokenizer, "use this tokenizer.model instead, or \"bytes\"");
    command->add_option("--name", request.name, "prefix of the shard files (default: the folder's name)");
    command->add_option("--split", request.split,
                        "a line that separates documents (default: a file is a document)");
    command->add_option("--field", request.field, "JSON lines: the member that holds a document's text");
    command
        ->add_option("--delimiter", request.delimiter, "token around each document: bos, eos, both or none")
        ->capture_default_str();
    add_number(command, "--val-fraction", request.val_fraction, {0, data::kMaxValFraction, " (none)"},
               "share of the text held out for validation");
    command->add_option("--licence", request.licence, "noted in the sidecar");
    add_number(command, "--shard-tokens", request.shard_tokens, {1, kMaxCount}, "tokens of a shard file");
    command->add_flag("--force", request.force, "replace shards that are there");
    command->add_flag("--json", options->json, "print the sidecar");
    on_parsed<PrepareOptions>(command, run, options, [vocab_size](PrepareOptions& read) {
      const data::PrepareRequest& r = read.request;
      A48_CHECK(r.tokenizer.empty() || vocab_size->count() == 0, ErrorKind::config,
                "--vocab-size trains a tokenizer and --tokenizer names one: give one of them");
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
      check_overrides(r.overrides);
    });
  }

  void add_eval(const std::function<ExitCode(const EvalOptions&)>& run) {
    const auto options = std::make_shared<EvalOptions>();
    const auto mode = std::make_shared<std::string>();
    CLI::App* const command = add(
        &app_, "eval", "perplexity, bits per byte and sparsity of a model on held-out text",
        "MODEL (--data DIR | --text FILE…) [--mode M]", "runs/tiny --data corpora/tinyshakespeare --mode a8");
    command->add_option("MODEL", options->model, kModelHelp)->required();
    command->add_option("--data", options->data, "folder of shards: its validation split");
    command->add_option("--text", options->texts, "text files, each a document");
    command->add_option("--mode", *mode, "quantizers: " + joined(mode_names()) + " (default: as trained)");
    command->add_option("--logprobs", options->logprobs,
                        "write a JSON line {ids, logprobs} per piece to this file");
    add_number(command, "--pieces", options->pieces, {0, kMaxCount, " (all)"},
               "score this many pieces, evenly spaced; 0 = all");
    add_threads(command, options->threads);
    command->add_flag("--json", options->json, "print one JSON object");
    add_cache_format(command, options->kv_bits, options->q_bits);
    command->add_flag("--report", options->report,
                      "also the loss with keys and values at 16, 4 and 3 bits and queries at 16 and 4");
    on_parsed<EvalOptions>(command, run, options, [mode](EvalOptions& read) {
      A48_CHECK(read.data.empty() != read.texts.empty(), ErrorKind::config,
                "give one of --data DIR and --text FILE");
      if (!mode->empty()) read.mode = mode_of(*mode);
    });
  }

  void add_generate(const std::function<ExitCode(const GenerateOptions&)>& run) {
    const auto options = std::make_shared<GenerateOptions>();
    const auto mode = std::make_shared<std::string>();
    CLI::App* const command =
        add(&app_, "generate", "continues prompts",
            "MODEL (--prompt TEXT | --prompts FILE | --interactive) [options]",
            "runs/tiny --prompt \"In the beginning\" --max-tokens 100 --temperature 0.7");
    command->add_option("MODEL", options->model, kModelHelp)->required();
    command->add_option("--prompt", options->prompts, "text to continue; repeated: one batch")
        ->expected(1)
        ->take_all();
    command->add_option("--prompts", options->prompts_file,
                        "file of prompts, one a line; NAME.jsonl: JSON strings, or objects with \"prompt\"");
    command->add_flag("--interactive", options->interactive,
                      "read prompts from the terminal, one after the other; an empty line ends");
    command->add_option("--stop", options->stop, "end before this text; may be repeated")
        ->expected(1)
        ->take_all();
    add_number(command, "--max-tokens", options->max_tokens, {1, kMaxCount}, "new tokens at most");
    add_number(command, "--temperature", options->temperature, {0, kMaxTemperature},
               "0 = always the likeliest token");
    add_number(command, "--top-k", options->top_k, {0, kMaxVocab, " (all)"},
               "choose among the k likeliest; 0 = all");
    add_number(command, "--top-p", options->top_p, {0, 1, "", true},
               "choose among the likeliest that hold this share; 1 = all");
    add_number(command, "--seed", options->seed, {0, kMaxSeed}, "the same seed gives the same text");
    command->add_option("--mode", *mode, "quantizers: " + joined(mode_names()) + " (default: as trained)");
    add_threads(command, options->threads);
    command->add_flag("--json", options->json, "print one JSON object");
    add_cache_format(command, options->kv_bits, options->q_bits);
    on_parsed<GenerateOptions>(command, run, options, [mode](GenerateOptions& read) {
      const int sources =
          int{!read.prompts.empty()} + int{!read.prompts_file.empty()} + int{read.interactive};
      A48_CHECK(sources == 1, ErrorKind::config,
                sources == 0 ? "a prompt is missing: give one of" : "give only one of",
                " --prompt TEXT, --prompts FILE and --interactive");
      A48_CHECK(!read.interactive || !read.json, ErrorKind::config,
                "--interactive talks to a terminal; --json goes with --prompt and --prompts");
      for (const std::string& stop : read.stop)
        A48_CHECK(!stop.empty(), ErrorKind::config,
                  "--stop is empty; it takes the text before which the output ends");
      if (!mode->empty()) read.mode = mode_of(*mode);
    });
  }

  void add_inspect(const std::function<ExitCode(const InspectOptions&)>& run) {
    const auto options = std::make_shared<InspectOptions>();
    CLI::App* const command =
        add(&app_, "inspect", "shows what a run, a checkpoint or a folder of shards holds", "PATH [--verify]",
            "runs/tiny --verify");
    command
        ->add_option("PATH", options->path,
                     "a run, a checkpoint, a folder of shards, a .bin or a .safetensors file")
        ->required();
    command->add_flag("--verify", options->verify, "read everything: hashes, token ids, finite values");
    command
        ->add_option_function<std::string>(
            "--step",
            [options](const std::string& word) {
              options->step = number_of<std::int64_t>("--step", word, {1, kMaxCount});
            },
            "of a run: which tokens this step reads, counted from 1")
        ->type_name("INT");
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<InspectOptions>(command, run, options);
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
    add_number(command, "--kv-bits", options->kv_bits, {3, 32},
               "of keys and values when served: 32, 16, 4, 3");
    add_number(command, "--q-bits", options->q_bits, {4, 16}, "of queries when served: 16, 8, 4");
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
    if (commands.bench_ceilings) add_bench_ceilings(bench, commands.bench_ceilings);
    if (commands.bench_kernels) add_bench_kernels(bench, commands.bench_kernels);
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
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchDecodeOptions>(command, run, options, [density](BenchDecodeOptions& read) {
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

  void add_bench_ceilings(CLI::App* bench, const std::function<ExitCode(const BenchCeilingsOptions&)>& run) {
    const auto options = std::make_shared<BenchCeilingsOptions>();
    CLI::App* const command =
        add(bench, "ceilings", "what this machine can do: memory, caches, integer products",
            "[--threads 1,2] [--json]", "--threads 1,2");
    add_bench_threads(command, options->threads);
    add_number(command, "--reps", options->reps, {1, 10000}, "repetitions of each measurement");
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchCeilingsOptions>(command, run, options);
  }

  void add_bench_kernels(CLI::App* bench, const std::function<ExitCode(const BenchKernelsOptions&)>& run) {
    const auto options = std::make_shared<BenchKernelsOptions>();
    CLI::App* const command = add(
        bench, "kernels", "each ternary product, from memory and from cache, checked against the reference",
        "[--shape 700M,2B] [--only NAME] [--json]", "--shape 2B --only columns");
    command->add_option("--shape", options->shapes, "700M, 2B")->delimiter(',')->capture_default_str();
    command->add_option("--only", options->only, "products whose name holds this (default: all)");
    add_bench_threads(command, options->threads);
    add_number(command, "--reps", options->reps, {1, 10000}, "repetitions of each measurement");
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchKernelsOptions>(command, run, options, [](BenchKernelsOptions& read) {
      for (const std::string& shape : read.shapes) check_choice("--shape", shape, {"700M", "2B"});
    });
  }

  static void add_bench_threads(CLI::App* command, std::vector<int>& threads) {
    add_numbers(command, "--threads", threads, {0, kMaxThreads, " (physical cores)"},
                "each is measured; 0 = physical cores");
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
    add_number(command, "--batch", request.batch, {0, kMaxCount, " (as measured)"},
               "sequences of a step; 0 = as the preset is measured");
    add_number(command, "--sequence", request.sequence, {0, kMaxCount, " (as measured)"},
               "tokens of a sequence; 0 = as the preset is measured");
    add_number(command, "--vocab", request.vocab, {2, kMaxVocab}, "tokens of the vocabulary");
    add_number(command, "--warmup", request.warmup, {0, kMaxBenchSteps},
               "steps before the clock starts, per mode");
    add_number(command, "--steps", request.steps, {1, kMaxBenchSteps}, "timed steps, per mode");
    add_threads(command, request.threads);
    command->add_flag("--bf16-backward", request.bf16_backward,
                      "backward products of the quantized modes in bf16 (run.backward_dtype)");
    command->add_flag("--json", options->json, "print one JSON object");
    on_parsed<BenchOptions>(command, run, options, [](BenchOptions& read) {
      const train::BenchRequest& r = read.request;
      for (const std::string& name : r.modes) mode_of(name);
      check_choice("--preset", r.preset, config::preset_names());
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
      on_parsed<ConfigOptions>(command, run, options,
                               [](ConfigOptions& read) { check_overrides(read.overrides); });
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
