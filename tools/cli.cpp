#include "tools/cli.h"

#include "tools/cli_bench.h"
#include "tools/flags.h"

namespace a48::tools {
namespace {

constexpr const char* kModelHelp = "a run, a checkpoint folder, or a packed file NAME.a48";
constexpr const char* kDeviceHelp = "where the model computes";
constexpr std::int64_t kMaxSeed = (std::int64_t{1} << 53) - 1;  // as in configurations
constexpr double kMaxTemperature = 1000;

/// Of a key that is given twice one value would silently win.
void check_overrides(const std::vector<std::string>& overrides) {
  std::map<std::string, std::string> seen;
  for (const std::string& word : overrides) {
    const auto [earlier, is_new] = seen.emplace(word.substr(0, word.find('=')), word);
    A48_CHECK(is_new, ErrorKind::config, earlier->first, " is given twice: ", earlier->second, " and ", word,
              "; give it once");
  }
}

void add_prepare(CommandTree& tree, const std::function<ExitCode(const PrepareOptions&)>& run) {
  const auto options = std::make_shared<PrepareOptions>();
  data::PrepareRequest& request = options->request;
  CLI::App* const command = tree.add(nullptr, "prepare", "turns text files into a tokenizer and token shards",
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
  command->add_option("--delimiter", request.delimiter, "token around each document: bos, eos, both or none")
      ->capture_default_str();
  add_number(command, "--val-fraction", request.val_fraction, {0, data::kMaxValFraction, " (none)"},
             "share of the text held out for validation");
  command->add_option("--licence", request.licence, "noted in the sidecar");
  add_number(command, "--shard-tokens", request.shard_tokens, {1, kMaxCount}, "tokens of a shard file");
  command->add_flag("--force", request.force, "replace shards that are there");
  command->add_flag("--json", options->json, "print the sidecar");
  tree.on_parsed<PrepareOptions>(command, run, options, [vocab_size](PrepareOptions& read) {
    const data::PrepareRequest& r = read.request;
    A48_CHECK(r.tokenizer.empty() || vocab_size->count() == 0, ErrorKind::config,
              "--vocab-size trains a tokenizer and --tokenizer names one: give one of them");
    check_choice("--delimiter", r.delimiter, {"bos", "eos", "both", "none"});
  });
}

void add_train(CommandTree& tree, const std::function<ExitCode(const TrainOptions&)>& run) {
  const auto options = std::make_shared<TrainOptions>();
  const auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* const command = tree.add(
      nullptr, "train", "trains a model; a run that was stopped goes on when the same command is given again",
      "CONFIG.json [key=value…]  |  " + tree.program() + " train --resume RUN [key=value…]",
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
  tree.on_parsed<TrainOptions>(command, run, options, [words](TrainOptions& read) {
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

void add_eval(CommandTree& tree, const std::function<ExitCode(const EvalOptions&)>& run) {
  const auto options = std::make_shared<EvalOptions>();
  const auto mode = std::make_shared<std::string>();
  CLI::App* const command = tree.add(
      nullptr, "eval", "perplexity, bits per byte and sparsity of a model on held-out text",
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
  const auto device = add_device(command, kDeviceHelp);
  command->add_flag("--report", options->report,
                    "also the loss with keys and values at 16, 4 and 3 bits and queries at 16 and 4");
  tree.on_parsed<EvalOptions>(command, run, options, [mode, device](EvalOptions& read) {
    read.gpu = is_gpu(*device);
    A48_CHECK(read.data.empty() != read.texts.empty(), ErrorKind::config,
              "give one of --data DIR and --text FILE");
    if (!mode->empty()) read.mode = mode_of(*mode);
  });
}

void add_generate(CommandTree& tree, const std::function<ExitCode(const GenerateOptions&)>& run) {
  const auto options = std::make_shared<GenerateOptions>();
  const auto mode = std::make_shared<std::string>();
  CLI::App* const command =
      tree.add(nullptr, "generate", "continues prompts",
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
  const auto device = add_device(command, kDeviceHelp);
  tree.on_parsed<GenerateOptions>(command, run, options, [mode, device](GenerateOptions& read) {
    read.gpu = is_gpu(*device);
    const int sources = int{!read.prompts.empty()} + int{!read.prompts_file.empty()} + int{read.interactive};
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

void add_inspect(CommandTree& tree, const std::function<ExitCode(const InspectOptions&)>& run) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* const command =
      tree.add(nullptr, "inspect", "shows what a run, a checkpoint or a folder of shards holds",
               "PATH [--verify]", "runs/tiny --verify");
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
  tree.on_parsed<InspectOptions>(command, run, options);
}

void add_export(CommandTree& tree, const std::function<ExitCode(const ExportOptions&)>& run) {
  const auto options = std::make_shared<ExportOptions>();
  const auto mode = std::make_shared<std::string>();
  const auto format = std::make_shared<std::string>("packed");
  CLI::App* const command = tree.add(
      nullptr, "export", "writes a checkpoint as one packed file, and compares it with the checkpoint",
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
  add_number(command, "--kv-bits", options->kv_bits, {3, 32}, "of keys and values when served: 32, 16, 4, 3");
  add_number(command, "--q-bits", options->q_bits, {4, 16}, "of queries when served: 16, 8, 4");
  command->add_flag("--json", options->json, "print one JSON object");
  tree.on_parsed<ExportOptions>(command, run, options, [mode, format](ExportOptions& read) {
    check_choice("--format", *format, {"packed"});
    check_choice("--head", read.head, head_names());
    check_choice("--layout", read.layout, {"t2_row4", "t2_row"});
    A48_CHECK(read.out.ends_with(".a48"), ErrorKind::config, "--out ", read.out,
              ": the name of a packed file ends in .a48");
    if (!mode->empty()) read.mode = mode_of(*mode);
  });
}

void add_config(CommandTree& tree, const std::function<ExitCode(const ConfigOptions&)>& run) {
  using Action = ConfigOptions::Action;
  CLI::App* const config =
      tree.add(nullptr, "config", "checks, shows and explains configurations",
               "validate|print FILE [key=value…]  |  " + tree.program() + " config help|schema|table",
               "print configs/tiny.json optim.learning_rate=1e-3");
  config->require_subcommand(1);
  const auto add_action = [&](Action action, const char* name, const char* what, bool takes_file) {
    const auto options = std::make_shared<ConfigOptions>();
    options->action = action;
    CLI::App* const command = tree.add(config, name, what, takes_file ? "FILE [key=value…]" : "",
                                       takes_file ? "configs/tiny.json run.max_steps=500" : "");
    if (takes_file) {
      command->add_option("FILE", options->file, "configuration")->required();
      command->add_option("key=value", options->overrides, "keys that differ from the file");
    }
    tree.on_parsed<ConfigOptions>(command, run, options,
                                  [](ConfigOptions& read) { check_overrides(read.overrides); });
  };
  add_action(Action::validate, "validate",
             "reads a configuration, reports every problem; needs no data and no GPU", true);
  add_action(Action::print, "print", "the configuration with recipe, preset and defaults written out", true);
  add_action(Action::help, "help", "every key with default, range and meaning", false);
  add_action(Action::schema, "schema", "JSON Schema (draft 2020-12) of a configuration", false);
  add_action(Action::table, "table", "every key as a Markdown table", false);
}

}  // namespace

ExitCode run_command_line(const std::string& program, const std::string& version,
                          const std::vector<std::string>& arguments, const Commands& commands) {
  CommandTree tree(program, version);
  if (commands.prepare) add_prepare(tree, commands.prepare);
  if (commands.train) add_train(tree, commands.train);
  if (commands.eval) add_eval(tree, commands.eval);
  if (commands.generate) add_generate(tree, commands.generate);
  if (commands.inspect) add_inspect(tree, commands.inspect);
  if (commands.config) add_config(tree, commands.config);
  if (commands.export_model) add_export(tree, commands.export_model);
  add_bench(tree, commands);
  return tree.run(arguments);
}

}  // namespace a48::tools
