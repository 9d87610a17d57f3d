// Hop 1 of the inference walk: a model, its tokenizer and the prompts, handed to core/runtime/generate.cpp.
// One prompt streams to stdout as it grows; several are one batch, printed when all have ended.
#include <chrono>
#include <iostream>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/runtime/generate.h"
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

Json report(const GenerateOptions& options, const std::vector<runtime::Generated>& results,
            const train::OpenedModel& opened, std::int64_t tokens, double seconds) {
  Json all = Json::object();
  all["model"] = options.model;
  all["checkpoint"] = opened.checkpoint;
  all["mode"] = opened.model->info().mode;
  all["seed"] = options.seed;
  all["results"] = Json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    Json entry = Json::object();
    entry["prompt"] = options.prompts[i];
    entry["text"] = results[i].text;
    entry["finish"] = runtime::finish_name(results[i].finish);
    entry["prompt_tokens"] = results[i].prompt_tokens;
    entry["ids"] = Json::array();
    for (const std::int32_t id : results[i].ids) entry["ids"].push_back(static_cast<std::int64_t>(id));
    all["results"].push_back(std::move(entry));
  }
  all["tokens"] = tokens;
  all["seconds"] = seconds;
  return all;
}

}  // namespace

ExitCode run_generate(const GenerateOptions& options, const ModelOpener& open) {
  set_thread_count(options.threads);
  const train::OpenedModel opened = open(options.model, options.mode);
  const auto tokenizer = demand_tokenizer(opened);
  const bool streams = options.prompts.size() == 1 && !options.json;
  // The prompt is shown with the first text: by then everything about it has been checked.
  bool shown = false;
  const auto show = [&](std::string_view text) {
    std::cout << (shown ? "" : options.prompts[0]) << text << std::flush;
    shown = true;
  };
  runtime::TextSink sink;
  if (streams) sink = [&](std::size_t, std::string_view text) { show(text); };

  const auto begin = std::chrono::steady_clock::now();
  const std::vector<runtime::Generated> results =
      runtime::generate(*opened.model, *tokenizer, options.prompts, generation(options), sink);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::int64_t tokens = 0;
  for (const runtime::Generated& result : results) tokens += static_cast<std::int64_t>(result.ids.size());

  if (options.json) {
    std::cout << report(options, results, opened, tokens, seconds).dump() << "\n";
  } else if (streams) {
    show("\n");
  } else {
    for (std::size_t i = 0; i < results.size(); ++i)
      std::cout << "[" << i + 1 << "] " << options.prompts[i] << results[i].text << "\n";
  }
  std::cout.flush();
  log::info(concat(tokens, " tokens in ", seconds, " s, ", static_cast<double>(tokens) / seconds,
                   " tokens/s, mode ", opened.model->info().mode));
  return ExitCode::done;
}

}  // namespace a48::tools
