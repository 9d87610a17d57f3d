#include "training/evaluate.h"

#include <chrono>
#include <cmath>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/runtime/generate.h"
#include "core/runtime/score.h"
#include "data/tokenizer.h"
#include "modules/row_model.h"
#include "training/signals.h"
#include "training/stages.h"

namespace a48::train {
namespace {

constexpr std::int64_t kTokensPerCall = 1024, kTokensPerGpuCall = 8192;
constexpr double kSampleTemperature = 0.7, kSampleTopP = 0.95;

const char* name_of(quant::Mode mode) { return quant::row_of(mode).name; }

std::unique_ptr<runtime::Tokenizer> tokenizer_of(const data::ShardSet& shards) {
  if (!shards.tokenizer_file.empty()) return data::load_sentencepiece(shards.tokenizer_file);
  if (shards.tokenizer_kind == "bytes") return data::byte_tokenizer();
  return nullptr;
}

}  // namespace

Evaluator::Evaluator(const config::RunConfig& config, const data::ShardSet& train) : config_(config) {
  if (!has_validation()) return;
  for (const config::Stage& stage : config_.stages) {
    const data::ShardSet shards = data::open_shards(stage.data.path, stage.data.val_glob,
                                                    config_.model.vocab_size, config_.model.bos_token_id);
    data::check_same_tokenizer(train, shards);
    pieces_.push_back(data::evaluation_pieces(shards, stage.data.sequence_length, config_.model.vocab_size,
                                              config_.eval.windows));
    if (!tokenizer_) tokenizer_ = tokenizer_of(shards);
  }
  if (!tokenizer_ && !config_.eval.prompts.empty()) {
    log::warning("eval.prompts: the tokenizer of these shards is not known, so nothing is sampled");
  }
}

std::optional<Validation> Evaluator::validate(const nn::BitNetForCausalLM& model, std::size_t stage,
                                              quant::Mode mode) {
  const auto begin = std::chrono::steady_clock::now();
  nn::RowModel rows(model, slots_in_mode(config_, stage, mode), concat("validation in mode ", name_of(mode)));
  const data::EvaluationPieces& pieces = pieces_[stage];
  runtime::Totals totals;
  const auto add = [&](std::size_t piece, std::span<const double> logprobs) {
    for (const double logprob : logprobs) totals.nll -= logprob;
    totals.tokens += static_cast<std::int64_t>(logprobs.size());
    if (tokenizer_) totals.bytes += data::scored_bytes(pieces, piece, *tokenizer_);
  };
  const std::int64_t tokens_per_call = model->model->device().is_cuda() ? kTokensPerGpuCall : kTokensPerCall;
  const std::size_t scored =
      runtime::score_pieces(rows, pieces.ids, add, tokens_per_call, [] { return !stop_requested(); });
  if (scored < pieces.size()) return std::nullopt;

  Validation result;
  result.mode = name_of(mode);
  result.loss = totals.nll_per_token();
  result.perplexity = totals.perplexity();
  if (tokenizer_) result.bits_per_byte = totals.bits_per_byte();
  result.tokens = totals.tokens;
  result.sparsity = rows.sparsity();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

std::vector<Sample> Evaluator::samples(const nn::BitNetForCausalLM& model, std::size_t stage) {
  std::vector<Sample> texts;
  const std::vector<std::string>& prompts = config_.eval.prompts;
  if (!tokenizer_ || prompts.empty()) return texts;
  nn::RowModel rows(model, slots_of_stage(config_, stage), "samples");
  runtime::GenerateOptions options;
  options.max_tokens = config_.eval.sample_tokens;
  options.sampler.temperature = kSampleTemperature;
  options.sampler.top_p = kSampleTopP;
  options.seed = static_cast<std::uint64_t>(config_.run.seed);
  const auto generated =
      runtime::generate(rows, *tokenizer_, prompts, options, {}, [] { return !stop_requested(); });
  for (std::size_t i = 0; i < generated.size(); ++i) {
    if (generated[i].finish != runtime::Finish::interrupted) texts.push_back({prompts[i], generated[i].text});
  }
  return texts;
}

}  // namespace a48::train
