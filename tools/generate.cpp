// Hop 1 of the inference walk: a model, its tokenizer and the prompts, handed to core/runtime/generate.cpp.
// One prompt streams to stdout as it grows; several are batches, printed when all have ended.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/runtime/generate.h"
#include "core/runtime/sparsity.h"
#include "tools/commands.h"
#include "tools/model_tokenizer.h"

namespace a48::tools {
namespace {

runtime::GenerateOptions generation(const GenerateOptions& options) {
  runtime::GenerateOptions result;
  result.max_tokens = options.max_tokens;
  result.sampler = {options.temperature, options.top_k, options.top_p};
  result.seed = static_cast<std::uint64_t>(options.seed);
  result.stop = options.stop;
  return result;
}

/// Prompts that are generated side by side; more are taken in turn, with the same results.
constexpr std::size_t kBatch = 16;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Speed {
  std::int64_t prompt_tokens = 0, tokens = 0;
  double prefill_seconds = 0.0, decode_seconds = 0.0;

  /// The first new token comes with the prompt, the others one by one.
  double decoded_per_second() const {
    const double seconds = decode_seconds > 0.0 ? decode_seconds : prefill_seconds;
    return seconds > 0.0 ? static_cast<double>(tokens) / seconds : 0.0;
  }
};

std::vector<runtime::Generated> generate_batch(runtime::LanguageModel& model,
                                               const runtime::Tokenizer& tokenizer,
                                               std::span<const std::string> prompts,
                                               const runtime::GenerateOptions& options,
                                               const runtime::TextSink& sink, Speed& speed) {
  const auto begin = Clock::now();
  auto prefilled = begin;
  const auto note_prefill = [&] {
    if (prefilled == begin) prefilled = Clock::now();
    return true;
  };
  std::vector<runtime::Generated> results =
      runtime::generate(model, tokenizer, prompts, options, sink, note_prefill);
  if (prefilled == begin) prefilled = Clock::now();
  speed.prefill_seconds += std::chrono::duration<double>(prefilled - begin).count();
  speed.decode_seconds += seconds_since(prefilled);
  for (const runtime::Generated& result : results) {
    speed.prompt_tokens += result.prompt_tokens;
    speed.tokens += static_cast<std::int64_t>(result.ids.size());
  }
  return results;
}

/// One a line; in a file NAME.jsonl a line is a JSON string or an object with the member "prompt".
std::vector<std::string> read_prompts(const std::string& path) {
  std::vector<std::string> prompts;
  std::istringstream lines(read_file(path));
  std::int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    if (!path.ends_with(".jsonl")) {
      prompts.push_back(line);
      continue;
    }
    const Json value = Json::parse(line, concat(path, ", line ", number));
    prompts.push_back(value.is_object() ? value.at("prompt").as_string() : value.as_string());
  }
  A48_CHECK(!prompts.empty(), ErrorKind::bad_input, path, ": holds no prompt; expected one a line");
  return prompts;
}

Json report(const GenerateOptions& options, const std::vector<std::string>& prompts,
            const std::vector<runtime::Generated>& results, const train::OpenedModel& opened,
            const Speed& speed) {
  Json all = Json::object();
  all["model"] = options.model;
  all["checkpoint"] = opened.checkpoint;
  all["mode"] = opened.model->info().mode;
  all["device"] = options.gpu ? "cuda" : "cpu";
  all["seed"] = options.seed;
  all["results"] = Json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    Json entry = Json::object();
    entry["prompt"] = prompts[i];
    entry["text"] = results[i].text;
    entry["finish"] = runtime::finish_name(results[i].finish);
    entry["prompt_tokens"] = results[i].prompt_tokens;
    entry["ids"] = Json::array();
    for (const std::int32_t id : results[i].ids) entry["ids"].push_back(static_cast<std::int64_t>(id));
    all["results"].push_back(std::move(entry));
  }
  all["prompt_tokens"] = speed.prompt_tokens;
  all["tokens"] = speed.tokens;
  all["seconds"] = speed.prefill_seconds + speed.decode_seconds;
  all["prefill_seconds"] = speed.prefill_seconds;
  all["decode_seconds"] = speed.decode_seconds;
  all["tokens_per_s"] = speed.decoded_per_second();
  all["sparsity"] = runtime::sparsity_json(opened.model->sparsity());
  return all;
}

/// "23 tokens, 210.3 tokens/s (prompt of 5: 12 ms), mode a4.8; zeros QKV 12.0 %, …"
void log_summary(const train::OpenedModel& opened, const Speed& speed) {
  char text[256];
  std::snprintf(text, sizeof text, "%lld tokens, %.1f tokens/s (prompts of %lld tokens: %.0f ms), mode %s",
                static_cast<long long>(speed.tokens), speed.decoded_per_second(),
                static_cast<long long>(speed.prompt_tokens), 1e3 * speed.prefill_seconds,
                opened.model->info().mode.c_str());
  std::string line = text;
  const runtime::Sparsity s = opened.model->sparsity();
  if (s.measured) {
    std::snprintf(text, sizeof text,
                  "; zeros in per cent: QKV %.1f, Out %.1f, Up %.1f, Gate %.1f, Down %.1f, overall %.1f",
                  100 * s.qkv, 100 * s.out, 100 * s.up, 100 * s.gate, 100 * s.down, 100 * s.overall);
    line += text;
  }
  log::info(line);
}

/// Prompt after prompt from stdin, each continued on its own; an empty line or the end of input stops.
ExitCode run_interactive(const GenerateOptions& options, const train::OpenedModel& opened,
                         const runtime::Tokenizer& tokenizer) {
  runtime::GenerateOptions generation_options = generation(options);
  const auto show = [](std::size_t, std::string_view text) { std::cout << text << std::flush; };
  for (std::string prompt;;) {
    std::cout << "> " << std::flush;
    if (!std::getline(std::cin, prompt) || prompt.empty()) break;
    std::cout << prompt << std::flush;
    Speed speed;
    opened.model->reset_sparsity();
    try {
      generate_batch(*opened.model, tokenizer, {&prompt, 1}, generation_options, show, speed);
    } catch (const Error& error) {  // such as a prompt longer than the context: the next one may do
      if (error.kind() != ErrorKind::bad_input) throw;
      std::cout << "\n";
      log::error(error.what());
      continue;
    }
    std::cout << "\n";
    log_summary(opened, speed);
    ++generation_options.first_prompt;  // another prompt, another draw
  }
  return ExitCode::done;
}

}  // namespace

ExitCode run_generate(const GenerateOptions& options, const ServingOpener& open) {
  set_thread_count(options.threads);
  std::vector<std::string> prompts = options.prompts;
  if (!options.prompts_file.empty()) prompts = read_prompts(options.prompts_file);
  const train::OpenedModel opened =
      open(options.model, {options.mode, cache_format_of(options.kv_bits, options.q_bits), options.gpu});
  const auto tokenizer = demand_tokenizer(opened);
  if (options.interactive) return run_interactive(options, opened, *tokenizer);

  const bool streams = prompts.size() == 1 && !options.json;
  // The prompt is shown with the first text: by then everything about it has been checked.
  bool shown = false;
  const auto show = [&](std::string_view text) {
    std::cout << (shown ? "" : prompts[0]) << text << std::flush;
    shown = true;
  };
  runtime::TextSink sink;
  if (streams) sink = [&](std::size_t, std::string_view text) { show(text); };

  Speed speed;
  std::vector<runtime::Generated> results;
  runtime::GenerateOptions generation_options = generation(options);
  opened.model->reset_sparsity();
  for (std::size_t at = 0; at < prompts.size(); at += kBatch) {
    const std::size_t count = std::min(kBatch, prompts.size() - at);
    generation_options.first_prompt = at;
    for (runtime::Generated& result :
         generate_batch(*opened.model, *tokenizer, {&prompts[at], count}, generation_options, sink, speed))
      results.push_back(std::move(result));
    if (prompts.size() > kBatch) log::progress(concat(at + count, " of ", prompts.size(), " prompts"));
  }

  if (options.json) {
    std::cout << report(options, prompts, results, opened, speed).dump() << "\n";
  } else if (streams) {
    show("\n");
  } else {
    for (std::size_t i = 0; i < results.size(); ++i)
      std::cout << "[" << i + 1 << "] " << prompts[i] << results[i].text << "\n";
  }
  std::cout.flush();
  log_summary(opened, speed);
  return ExitCode::done;
}

}  // namespace a48::tools
