// A language model against itself and another: how likely it holds a text, in one piece or token by token
// over its cache, and what it writes.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/runtime/generate.h"
#include "core/runtime/score.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/scorer.h"

namespace a48::test {

/// Mean −ln p of the bytes of tiny_text in pieces of 40, fed `tokens_per_call` at a time.
inline double mean_nll(runtime::LanguageModel& model, std::int64_t tokens_per_call) {
  const auto tokenizer = data::byte_tokenizer();
  std::vector<runtime::Piece> pieces;
  const std::string text = tiny_text(200);
  for (std::size_t at = 0; at < text.size(); at += 40) {
    pieces.push_back({tokenizer->bos_id()});
    for (const std::int32_t id : tokenizer->encode(text.substr(at, 40))) pieces.back().push_back(id);
  }
  runtime::Totals totals;
  runtime::score_pieces(
      model, pieces,
      [&](std::size_t, std::span<const double> logprobs) {
        for (const double logprob : logprobs) totals.nll -= logprob;
        totals.tokens += static_cast<std::int64_t>(logprobs.size());
      },
      tokens_per_call);
  return totals.nll_per_token();
}

/// How far the tokens that `model` writes, one after the other over its cache, fall short of the likeliest
/// ones when all are fed together: in logits, at most.
inline double shortfall_of_greedy(runtime::LanguageModel& model) {
  const auto tokenizer = data::byte_tokenizer();
  const std::vector<std::string> prompts{"light and the ", "was"};
  runtime::GenerateOptions options;
  options.max_tokens = 12;
  options.sampler.temperature = 0.0;
  const auto written = runtime::generate(model, *tokenizer, prompts, options);
  double shortfall = 0.0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    REQUIRE(!written[i].ids.empty());
    std::vector<runtime::TokenInput> all{{0, tokenizer->bos_id(), false}};
    for (const std::int32_t id : tokenizer->encode(prompts[i])) all.push_back({0, id, false});
    all.back().wants_logits = true;
    for (const std::int32_t id : written[i].ids) all.push_back({0, id, true});
    model.start(1);
    const Rows<const float> logits = model.feed(all);
    for (std::size_t t = 0; t < written[i].ids.size(); ++t) {
      const float* row = logits.row(static_cast<std::int64_t>(t));
      const float highest = *std::max_element(row, row + logits.cols);
      shortfall = std::max(shortfall, static_cast<double>(highest - row[written[i].ids[t]]));
    }
  }
  return shortfall;
}

/// Mode by mode: the model that `on_device` hands on has the loss of the checkpoint on the CPU, all at once
/// and over the cache.
template <typename OnDevice>
void check_losses(const std::string& checkpoint, const OnDevice& on_device) {
  for (const quant::Mode mode : {quant::Mode::none, quant::Mode::a16, quant::Mode::a8, quant::Mode::a4_8}) {
    INFO(quant::row_of(mode).name);
    const double wanted = mean_nll(*train::open_model(checkpoint, mode).model, 2048);
    const double bound = kRecordedTolerance * wanted;
    on_device(mode, [&](runtime::LanguageModel& model) {
      CHECK(std::abs(mean_nll(model, 2048) - wanted) < bound);
      CHECK(std::abs(mean_nll(model, 1) - wanted) < bound);
      CHECK(shortfall_of_greedy(model) < bound);
    });
  }
}

}  // namespace a48::test
