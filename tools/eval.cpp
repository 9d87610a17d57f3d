// `a48 eval`: perplexity, bits per byte and sparsity of a model on held-out text, piece by piece
// (core/runtime/score.cpp). The model comes from a function that main hands in; --logprobs writes what anyone
// needs to recompute it outside.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/base/temporaries.h"
#include "core/runtime/score.h"
#include "core/runtime/sparsity.h"
#include "data/corpus.h"
#include "data/loader.h"
#include "data/tokenizer.h"
#include "tools/commands.h"
#include "tools/model_tokenizer.h"

namespace a48::tools {
namespace {

constexpr double kPercent = 100.0;
constexpr std::chrono::seconds kProgressInterval{2};

/// The evaluation pieces of --data or --text, and the tokenizer that gives their lengths in bytes: none when
/// neither the model nor the shards name one.
struct Input {
  std::unique_ptr<runtime::Tokenizer> tokenizer;
  data::EvaluationPieces pieces;
};

void check_tokenizer(const data::ShardSet& shards, const runtime::Tokenizer& tokenizer,
                     const EvalOptions& options) {
  A48_CHECK(shards.vocab_size == 0 || shards.vocab_size == tokenizer.vocab_size(), ErrorKind::bad_input,
            options.data, " was made with a vocabulary of ", shards.vocab_size, ", the tokenizer of ",
            options.model, " has ", tokenizer.vocab_size(),
            "; evaluate on shards made with the model's own tokenizer (a48 prepare --tokenizer)");
  A48_CHECK(shards.tokenizer_sha256.empty() || shards.tokenizer_sha256 == tokenizer.sha256(),
            ErrorKind::bad_input, options.data, " was made with the tokenizer ", shards.tokenizer_sha256,
            ", ", options.model, " was trained with ", tokenizer.sha256(),
            "; evaluate on shards made with the model's own tokenizer (a48 prepare --tokenizer)");
}

/// The data block of the stage that wrote the checkpoint.
const config::Data& data_of_stage(const train::OpenedModel& opened) {
  const config::RunConfig& config = opened.config;
  const std::int64_t done = std::clamp<std::int64_t>(opened.step, 1, config.run.max_steps);
  return config.stages[config::stage_at(config, done - 1)].data;
}

Input read_input(const EvalOptions& options, const train::OpenedModel& opened) {
  Input input;
  const runtime::ModelInfo& info = opened.model->info();
  const std::int64_t length = std::min(info.sequence_length, info.max_positions);
  if (!options.data.empty()) {
    const data::ShardSet shards =
        data::open_shards(options.data, data_of_stage(opened).val_glob, info.vocab_size, info.bos_id);
    input.tokenizer = tokenizer_of(opened);
    A48_CHECK(opened.tokenizer_sha256.empty() || shards.tokenizer_sha256.empty() ||
                  shards.tokenizer_sha256 == opened.tokenizer_sha256,
              ErrorKind::bad_input, options.data, " was made with the tokenizer ", shards.tokenizer_sha256,
              ", ", options.model, " was trained with ", opened.tokenizer_sha256,
              "; evaluate on shards made with the model's own tokenizer (a48 prepare --tokenizer)");
    if (input.tokenizer)
      check_tokenizer(shards, *input.tokenizer, options);
    else if (!shards.tokenizer_file.empty())  // the model names none: the lengths are those of the shards
      input.tokenizer = data::load_sentencepiece(shards.tokenizer_file);
    else if (shards.tokenizer_kind == "bytes")
      input.tokenizer = data::byte_tokenizer();
    input.pieces = data::evaluation_pieces(shards, length, info.vocab_size, options.pieces);
  } else {
    input.tokenizer = demand_tokenizer(opened);
    std::vector<std::vector<std::int32_t>> documents;
    for (const std::string& path : options.texts) {
      const std::string text = read_file(path);
      data::check_is_text(text, path);
      A48_CHECK(!text.empty(), ErrorKind::bad_input, path, ": holds no text");
      documents.push_back(input.tokenizer->encode(text));
    }
    input.pieces = data::pieces_of_documents(documents, input.tokenizer->bos_id(), length, options.pieces);
  }
  A48_CHECK(input.pieces.scored_tokens() > 0, ErrorKind::bad_input, "there is no token to score");
  return input;
}

struct Outcome {
  runtime::Totals totals;
  runtime::Sparsity sparsity;
  double seconds = 0;
};

/// {"ids": […], "logprobs": […]}: the doubles read back bit-identical.
std::string piece_line(const runtime::Piece& ids, std::span<const double> logprobs) {
  Json line = Json::object();
  line["ids"] = Json::array();
  for (const std::int32_t id : ids) line["ids"].push_back(static_cast<std::int64_t>(id));
  line["logprobs"] = Json::array();
  for (const double logprob : logprobs) line["logprobs"].push_back(logprob);
  return line.dump() + "\n";
}

Outcome score(runtime::LanguageModel& model, const Input& input, const std::string& logprobs_path) {
  std::optional<FileWriter> lines;
  if (!logprobs_path.empty()) {
    const Path path(logprobs_path), folder = path.has_parent_path() ? path.parent_path() : Path(".");
    remove_stale_temporaries(folder, [&](std::string_view name) { return name == path.filename(); });
    lines.emplace(path);
  }
  Outcome outcome;
  model.reset_sparsity();
  const auto begin = std::chrono::steady_clock::now();
  auto shown = begin;
  const auto add = [&](std::size_t piece, std::span<const double> logprobs) {
    for (const double logprob : logprobs) outcome.totals.nll -= logprob;
    outcome.totals.tokens += static_cast<std::int64_t>(logprobs.size());
    if (input.tokenizer) outcome.totals.bytes += data::scored_bytes(input.pieces, piece, *input.tokenizer);
    if (lines) lines->write(piece_line(input.pieces.ids[piece], logprobs));
    const auto now = std::chrono::steady_clock::now();
    if (now - shown < kProgressInterval) return;
    shown = now;
    log::progress(concat("scored ", piece + 1, " of ", input.pieces.size(), " pieces"));
  };
  runtime::score_pieces(model, input.pieces.ids, add);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.sparsity = model.sparsity();
  A48_CHECK(std::isfinite(outcome.totals.nll), ErrorKind::not_finite, "the log-likelihood is ",
            outcome.totals.nll);
  if (lines) lines->commit();
  return outcome;
}

double active_parameters(const runtime::ModelInfo& info, const runtime::Sparsity& sparsity) {
  return sparsity.measured ? sparsity.active_parameters : static_cast<double>(info.non_embedding_parameters);
}

Json report(const EvalOptions& options, const train::OpenedModel& opened, const Input& input,
            const Outcome& outcome) {
  const runtime::ModelInfo& info = opened.model->info();
  Json all = Json::object();
  all["model"] = options.model;
  all["checkpoint"] = opened.checkpoint;
  all["step"] = opened.step;
  all["mode"] = info.mode;
  all["device"] = options.gpu ? "cuda" : "cpu";
  all["pieces"] = static_cast<std::int64_t>(input.pieces.size());
  all["tokens"] = outcome.totals.tokens;
  all["bytes"] = input.tokenizer ? Json(outcome.totals.bytes) : Json();
  all["nll_per_token"] = outcome.totals.nll_per_token();
  all["perplexity"] = outcome.totals.perplexity();
  all["bits_per_byte"] = input.tokenizer ? Json(outcome.totals.bits_per_byte()) : Json();
  all["sparsity"] = runtime::sparsity_json(outcome.sparsity);
  all["active_parameters"] = active_parameters(info, outcome.sparsity);
  all["non_embedding_parameters"] = info.non_embedding_parameters;
  all["seconds"] = outcome.seconds;
  return all;
}

std::string millions(double parameters) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << parameters / 1e6 << "M";
  return text.str();
}

void print_sparsity_row(const std::string& name, std::initializer_list<double> percents,
                        const std::string& active) {
  std::cout << std::left << std::setw(20) << name << std::right << std::fixed << std::setprecision(1);
  for (const double percent : percents) std::cout << std::setw(9) << percent;
  std::cout << std::setw(11) << active << "\n";
}

void print_table(const train::OpenedModel& opened, const Input& input, const Outcome& outcome) {
  const runtime::ModelInfo& info = opened.model->info();
  const runtime::Sparsity& s = outcome.sparsity;
  std::cout << std::fixed << "model           " << opened.checkpoint << "\n"
            << "mode            " << info.mode << "\n"
            << "scored          " << outcome.totals.tokens << " tokens in " << input.pieces.size()
            << " pieces, " << std::setprecision(1) << outcome.seconds << " s\n"
            << "nll per token   " << std::setprecision(4) << outcome.totals.nll_per_token() << "\n"
            << "perplexity      " << std::setprecision(3) << outcome.totals.perplexity() << "\n";
  if (input.tokenizer)
    std::cout << "bits per byte   " << std::setprecision(4) << outcome.totals.bits_per_byte() << " ("
              << outcome.totals.bytes << " bytes)\n";
  else
    std::cout << "bits per byte   unknown: the shards name no tokenizer\n";
  if (!s.measured) return;
  std::cout << "\nzeros in percent         QKV      Out       Up     Gate     Down  Overall     active\n";
  print_sparsity_row("this model, " + info.mode,
                     {kPercent * s.qkv, kPercent * s.out, kPercent * s.up, kPercent * s.gate,
                      kPercent * s.down, kPercent * s.overall},
                     millions(s.active_parameters));
  // Table 2 of arXiv 2411.04965.
  if (opened.model->info().mode == quant::row_of(quant::Mode::a4_8).name)
    print_sparsity_row("paper, 700M", {12.1, 50.0, 66.2, 12.1, 80.9, 42.5}, "390M");
}

/// Keys and values at fewer bits, queries too (arXiv 2411.04965, section 3.2 and its table of low-bit
/// attention).
constexpr runtime::CacheFormat kReported[] = {{16, 4, 16}, {4, 4, 16}, {3, 4, 16}, {4, 4, 4}, {3, 4, 4}};

/// The perplexity of each cache format on the same pieces, beside that of exact attention.
Json cache_report(const EvalOptions& options, const ServingOpener& open, const Input& input) {
  Json rows = Json::array();
  double exact = 0.0;
  const auto add = [&](const runtime::CacheFormat& format) {
    const train::OpenedModel opened = open(options.model, {options.mode, format, options.gpu});
    const runtime::Totals totals = score(*opened.model, input, "").totals;
    if (format.kv_bits == 32) exact = totals.perplexity();
    Json row = Json::object();
    row["kv_bits"] = format.kv_bits;
    row["q_bits"] = format.q_bits;
    row["nll_per_token"] = totals.nll_per_token();
    row["perplexity"] = totals.perplexity();
    row["change_percent"] = kPercent * (totals.perplexity() / exact - 1.0);
    rows.push_back(std::move(row));
  };
  add({32, 4, 16});
  for (const runtime::CacheFormat& format : kReported) add(format);
  return rows;
}

void print_cache_report(const Json& rows) {
  std::cout << "\nkeys and values   queries   perplexity   change in percent\n";
  for (const Json& row : rows.as_array())
    std::cout << std::right << std::setw(9) << row.at("kv_bits").as_int() << " bits" << std::setw(6)
              << row.at("q_bits").as_int() << " bits" << std::fixed << std::setprecision(3) << std::setw(13)
              << row.at("perplexity").as_double() << std::setw(20) << row.at("change_percent").as_double()
              << "\n";
}

}  // namespace

ExitCode run_eval(const EvalOptions& options, const ServingOpener& open) {
  const TemporariesEndOnSignal unfinished;  // of --logprobs
  set_thread_count(options.threads);
  const train::OpenedModel opened =
      open(options.model, {options.mode, cache_format_of(options.kv_bits, options.q_bits), options.gpu});
  const Input input = read_input(options, opened);
  const Outcome outcome = score(*opened.model, input, options.logprobs);
  Json caches;
  if (options.report) caches = cache_report(options, open, input);
  if (options.json) {
    Json all = report(options, opened, input, outcome);
    if (options.report) all["cache_formats"] = std::move(caches);
    std::cout << all.dump() << "\n";
  } else {
    print_table(opened, input, outcome);
    if (options.report) print_cache_report(caches);
  }
  return ExitCode::done;
}

}  // namespace a48::tools
