// What each command line becomes: options, help, or an error that says what is allowed.
#include "tools/cli.h"

#include <iostream>
#include <sstream>

#include "core/base/check.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace tools;
namespace {

/// The options that the last command line gave; one of them is set.
struct Seen {
  std::optional<PrepareOptions> prepare;
  std::optional<TrainOptions> train;
  std::optional<EvalOptions> eval;
  std::optional<GenerateOptions> generate;
  std::optional<InspectOptions> inspect;
  std::optional<BenchOptions> bench;
  std::optional<BenchDecodeOptions> bench_decode;
  std::optional<ConfigOptions> config;
  std::string output;  // on stdout
};

template <typename Options>
std::function<ExitCode(const Options&)> keep(std::optional<Options>& place) {
  return [&place](const Options& options) {
    place = options;
    return ExitCode::done;
  };
}

Seen parse(const std::vector<std::string>& arguments) {
  Seen seen;
  Commands commands;
  commands.prepare = keep(seen.prepare);
  commands.train = keep(seen.train);
  commands.eval = keep(seen.eval);
  commands.generate = keep(seen.generate);
  commands.inspect = keep(seen.inspect);
  commands.bench_train = keep(seen.bench);
  commands.bench_decode = keep(seen.bench_decode);
  commands.config = keep(seen.config);
  std::ostringstream output;
  std::streambuf* const saved = std::cout.rdbuf(output.rdbuf());
  ExitCode code = ExitCode::internal;
  try {
    code = run_command_line("a48", "1.2.3 (commit abc)", arguments, commands);
  } catch (...) {
    std::cout.rdbuf(saved);
    throw;
  }
  std::cout.rdbuf(saved);
  CHECK(code == ExitCode::done);
  seen.output = output.str();
  return seen;
}

std::string error_of(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::config);
    return error.what();
  }
  return "no error";
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::vector<std::string>> kCommands{{"prepare"},        {"train"},   {"eval"},
                                                      {"generate"},       {"inspect"}, {"bench"},
                                                      {"bench", "train"}, {"config"},  {"config", "print"}};

}  // namespace

TEST_CASE("train: a configuration with overrides, or a run to go on with") {
  const TrainOptions plain = *parse({"train", "c.json", "run.seed=2", "stages.0.mode=a8", "--dry-run"}).train;
  CHECK(plain.request.config_path == "c.json");
  CHECK(plain.request.overrides == std::vector<std::string>{"run.seed=2", "stages.0.mode=a8"});
  CHECK(plain.request.dry_run);
  CHECK_FALSE(plain.request.fresh);
  const TrainOptions resumed = *parse({"train", "--resume", "runs/a", "run.max_steps=9"}).train;
  CHECK(resumed.request.resume == "runs/a");
  CHECK(resumed.request.config_path.empty());
  CHECK(resumed.request.overrides == std::vector<std::string>{"run.max_steps=9"});
  CHECK(parse({"train", "c.json", "--fresh"}).train->request.fresh);
  CHECK(parse({"train", "--fresh", "c.json", "optim.min_lr=-1"}).train->request.overrides.size() == 1);
  CHECK(holds(error_of({"train"}), "expected a configuration file, or --resume RUN"));
  CHECK(holds(error_of({"train", "--resume", "r", "c.json"}),
              "unexpected argument c.json; with --resume only key=value"));
  CHECK(holds(error_of({"train", "c.json", "d.json"}), "unexpected argument d.json"));
  CHECK(holds(error_of({"train", "--resume", "r", "--fresh"}), "give one of them"));
}

TEST_CASE("prepare: texts, and a tokenizer that is trained or given") {
  const data::PrepareRequest trained =
      parse({"prepare", "--out", "d", "--vocab-size", "512", "a.txt", "b.txt"}).prepare->request;
  CHECK(trained.out == "d");
  CHECK(trained.vocab_size == 512);
  CHECK(trained.texts == std::vector<std::string>{"a.txt", "b.txt"});
  CHECK(parse({"prepare", "--out", "d", "--tokenizer", "bytes", "a"}).prepare->request.tokenizer == "bytes");
  CHECK(parse({"prepare", "a", "--out=d"}).prepare->request.vocab_size == 0);
  CHECK(holds(error_of({"prepare", "--out", "d", "--vocab-size", "512", "--tokenizer", "t", "a"}),
              "give one of them"));
  CHECK(holds(error_of({"prepare", "--out", "d", "--vocab-size", "12", "a"}),
              "--vocab-size 12 is out of range; allowed: 260"));
  CHECK(holds(error_of({"prepare", "--out", "d", "--vocab-size", "many", "a"}), "--vocab-size"));
  CHECK(holds(error_of({"prepare", "--out", "d", "--delimiter", "box", "a"}), "did you mean bos?"));
  CHECK(holds(error_of({"prepare", "--out", "d", "--val-fraction", "1", "a"}),
              "--val-fraction 1 is out of range"));
  CHECK(holds(error_of({"prepare", "a.txt"}), "--out is required"));
  CHECK(holds(error_of({"prepare", "--out", "d"}), "TEXT is required"));
}

TEST_CASE("eval: one source of text, a known mode") {
  const EvalOptions options =
      *parse({"eval", "runs/a", "--data", "d", "--mode", "a4.8", "--json", "--logprobs", "l"}).eval;
  CHECK(options.model == "runs/a");
  CHECK(options.mode == quant::Mode::a4_8);
  CHECK(options.json);
  CHECK(options.logprobs == "l");
  CHECK_FALSE(parse({"eval", "m", "--text", "a", "b"}).eval->mode.has_value());
  CHECK(parse({"eval", "m", "--text", "a", "b"}).eval->texts.size() == 2);
  CHECK(holds(error_of({"eval", "m"}), "give one of --data DIR and --text FILE"));
  CHECK(holds(error_of({"eval", "m", "--data", "d", "--text", "t"}), "give one of"));
  CHECK(holds(error_of({"eval", "m", "--data", "d", "--mode", "a48"}),
              "mode a48 is not known; did you mean a4.8?"));
  CHECK(holds(error_of({"eval", "m", "--data", "d", "--threads", "-1"}), "--threads -1 is out of range"));
  CHECK_FALSE(parse({"eval", "m", "--text", "a"}).eval->gpu);
  CHECK(parse({"eval", "m", "--text", "a", "--device", "cuda"}).eval->gpu);
  CHECK(holds(error_of({"eval", "m", "--text", "a", "--device", "gpu"}), "allowed: cpu, cuda"));
}

TEST_CASE("generate: prompts as they are typed, sampling in range") {
  const GenerateOptions options = *parse({"generate", "m", "--prompt=-- In the", "--prompt", "b",
                                          "--temperature", "0", "--top-k", "5", "--seed", "9"})
                                       .generate;
  CHECK(options.prompts == std::vector<std::string>{"-- In the", "b"});
  CHECK(options.temperature == 0.0);
  CHECK(options.top_k == 5);
  CHECK(options.seed == 9);
  CHECK_FALSE(options.gpu);
  CHECK(parse({"generate", "m", "--prompt", "a", "--device", "cuda"}).generate->gpu);
  CHECK(holds(error_of({"generate", "m"}), "a prompt is missing: give one of --prompt TEXT, --prompts FILE"));
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--interactive"}), "give only one of"));
  CHECK(holds(error_of({"generate", "m", "--interactive", "--json"}), "--json"));
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--kv-bits", "5"}), "5"));
  CHECK(parse({"generate", "m", "--prompts", "f.txt", "--kv-bits", "3", "--q-bits", "8"}).generate->kv_bits ==
        3);
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--temperature", "-0.1"}),
              "--temperature -0.1 is out of range"));
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--top-p", "0"}),
              "--top-p 0 is out of range; allowed: above 0 up to 1"));
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--max-tokens", "0"}), "--max-tokens 0"));
  CHECK(holds(error_of({"generate", "m", "--prompt", "a", "--stop", ""}), "--stop is empty"));
}

TEST_CASE("numbers: what is none, not finite or too large is refused with what is allowed") {
  const auto generate_error = [](const std::string& flag, const std::string& value) {
    return error_of({"generate", "m", "--prompt", "a", flag, value});
  };
  CHECK(
      holds(generate_error("--temperature", "inf"), "--temperature inf is out of range; allowed: 0 … 1000"));
  CHECK(holds(generate_error("--temperature", "nan"), "--temperature nan is out of range"));
  CHECK(holds(generate_error("--temperature", "warm"),
              "--temperature \"warm\" is not a number; allowed: 0 … 1000"));
  CHECK(holds(generate_error("--top-k", "2.5"), "--top-k \"2.5\" is not an integer; allowed: 0 (all) … "));
  CHECK(holds(generate_error("--max-tokens", "99999999999999999999"),
              "--max-tokens 99999999999999999999 is out of range; allowed: 1 … 1000000000"));
  CHECK(holds(generate_error("--seed", "9007199254740992"), "allowed: 0 … 9007199254740991"));
  CHECK(holds(generate_error("--threads", "99999999999"), "allowed: 0 (physical cores) … 4096"));
  CHECK(holds(generate_error("--threads", ""), "--threads \"\" is not an integer"));
  CHECK(holds(error_of({"bench", "decode", "m", "--depth", "0,x"}), "--depth \"x\" is not an integer"));
  CHECK(parse({"bench", "decode", "m", "--device", "cuda"}).bench_decode->gpu);
  CHECK(holds(error_of({"bench", "decode", "m", "--device", "cuda", "--density", "up=0.5"}),
              "on a GPU every weight is read"));
  CHECK(
      holds(error_of({"eval", "m", "--text", "t", "--pieces", "10x"}), "--pieces \"10x\" is not an integer"));
  CHECK(holds(error_of({"prepare", "--out", "d", "--val-fraction", "0.6", "a"}), "allowed: 0 (none) … 0.5"));
  CHECK(parse({"prepare", "--out", "d", "--val-fraction", "0", "a"}).prepare->request.val_fraction == 0);
  CHECK(parse({"generate", "m", "--prompt", "a", "--seed", "010"}).generate->seed == 10);
}

TEST_CASE("overrides: a key that is given twice is refused with both values") {
  const std::string twice = "run.seed is given twice: run.seed=1 and run.seed=2";
  CHECK(holds(error_of({"train", "c.json", "run.seed=1", "run.dir=x", "run.seed=2"}), twice));
  CHECK(holds(error_of({"train", "--resume", "r", "run.seed=1", "run.seed=2"}), twice));
  CHECK(holds(error_of({"config", "print", "c.json", "run.seed=1", "run.seed=2"}), twice));
}

TEST_CASE("inspect and bench train") {
  const InspectOptions inspect = *parse({"inspect", "runs/a", "--verify"}).inspect;
  CHECK(inspect.path == "runs/a");
  CHECK(inspect.verify);
  CHECK_FALSE(inspect.step.has_value());
  CHECK(parse({"inspect", "runs/a", "--step", "3"}).inspect->step == 3);
  CHECK(holds(error_of({"inspect", "runs/a", "--step", "0"}),
              "--step 0 is out of range; allowed: 1 … 1000000000"));
  CHECK_FALSE(inspect.json);
  const BenchOptions bench =
      *parse({"bench", "train", "--preset", "85M", "--modes", "none,a4.8", "--json"}).bench;
  CHECK(bench.request.preset == "85M");
  CHECK(bench.request.modes == std::vector<std::string>{"none", "a4.8"});
  CHECK(bench.json);
  CHECK_FALSE(bench.request.bf16_backward);
  CHECK(parse({"bench", "train", "--bf16-backward"}).bench->request.bf16_backward);
  CHECK(!bench.request.gpu);
  const BenchOptions on_gpu = *parse({"bench", "train", "--device", "cuda", "--modes", "a8,a8-eager"}).bench;
  CHECK(on_gpu.request.gpu);
  CHECK(on_gpu.request.modes == std::vector<std::string>{"a8", "a8-eager"});
  CHECK(holds(error_of({"bench", "train", "--device", "gpu"}), "cuda"));
  CHECK(parse({"bench", "train"}).bench->request.modes.size() == 4);
  CHECK(holds(error_of({"bench", "train", "--preset", "85m"}), "did you mean 85M?"));
  CHECK(holds(error_of({"bench", "train", "--modes", "a9"}), "mode a9 is not known"));
  CHECK(holds(error_of({"bench"}), "a48 bench: a command is missing; one of train"));
}

TEST_CASE("config: actions, file and overrides") {
  const ConfigOptions print = *parse({"config", "print", "c.json", "run.seed=2"}).config;
  CHECK(print.action == ConfigOptions::Action::print);
  CHECK(print.file == "c.json");
  CHECK(print.overrides == std::vector<std::string>{"run.seed=2"});
  CHECK(parse({"config", "validate", "c.json"}).config->action == ConfigOptions::Action::validate);
  CHECK(parse({"config", "schema"}).config->action == ConfigOptions::Action::schema);
  CHECK(parse({"config", "help"}).config->action == ConfigOptions::Action::help);
  CHECK(parse({"config", "table"}).config->action == ConfigOptions::Action::table);
  CHECK(holds(error_of({"config", "print"}), "FILE is required"));
}

TEST_CASE("every command has help with its usage and an example") {
  for (std::vector<std::string> command : kCommands) {
    std::string path = "a48";
    for (const std::string& word : command) path += " " + word;
    command.push_back("--help");
    const std::string help = parse(command).output;
    INFO(path);
    CHECK(holds(help, "Usage: " + path));
    CHECK(holds(help, "Example:\n  " + path));
  }
  const std::string help = parse({"--help"}).output;
  for (const std::vector<std::string>& command : kCommands) CHECK(holds(help, "\n  " + command[0]));
}

TEST_CASE("--version prints version and commit") {
  CHECK(parse({"--version"}).output == "a48 1.2.3 (commit abc)\n");
}

TEST_CASE("unknown commands and flags are answered with the nearest") {
  CHECK(
      holds(error_of({"trian"}), "a48 trian: no such command; did you mean train?; allowed: prepare, train"));
  CHECK(holds(error_of({"config", "prnt", "c"}), "a48 config prnt: no such command; did you mean print?"));
  CHECK(holds(error_of({}), "a48: a command is missing"));
  CHECK(holds(error_of({"train", "c.json", "--dryrun"}),
              "a48 train: unknown flag --dryrun; did you mean --dry-run?"));
  CHECK(
      holds(error_of({"eval", "m", "--data", "d", "--mod=a8"}), "unknown flag --mod; did you mean --mode?"));
  CHECK(holds(error_of({"eval", "--dta", "d"}),
              "unknown flag --dta; did you mean --data?"));  // before MODEL is missed
  CHECK(holds(error_of({"inspect", "a", "b"}), "unexpected argument b"));
  CHECK(holds(error_of({"--verison"}), "did you mean --version?"));
}

TEST_CASE("a program without a command does not claim it") {
  Commands commands;
  commands.config = [](const ConfigOptions&) { return ExitCode::done; };
  CHECK_THROWS_WITH(run_command_line("a48", "1", {"train", "c.json"}, commands),
                    contains("a48 train: no such command; allowed: config"));
}

}  // namespace a48::test
