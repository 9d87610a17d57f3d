// Log-likelihoods of pieces of text under a LanguageModel: perplexity and bits per byte for eval, for the
// validation loss in the loop, and later for serve. Sums are fp64 in a fixed order, so they do not depend on
// batching. Interface of the model: model.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/runtime/model.h"

namespace a48::runtime {

/// ids of one evaluation piece: BOS first; every later token is scored once (formats.md 6.4).
using Piece = std::vector<std::int32_t>;

/// Natural log-probabilities of ids[1…] given what stands before; one shorter than ids. ln p = logit − (m +
/// ln Σ exp(logit − m)), fp64.
using PieceSink = std::function<void(std::size_t piece, std::span<const double> logprobs)>;

/// Feeds pieces in groups of about `tokens_per_call` tokens; calls the sink in piece order. `keep_going` is
/// polled between groups (signals); false stops early. Returns the number of pieces scored.
std::size_t score_pieces(LanguageModel& model, std::span<const Piece> pieces, const PieceSink& sink,
                         std::int64_t tokens_per_call = 2048, const std::function<bool()>& keep_going = {});

struct Totals {
  double nll = 0.0;         // nats
  std::int64_t tokens = 0;  // scored
  std::int64_t bytes = 0;   // of the scored tokens

  double nll_per_token() const;
  double perplexity() const;     // exp(nll / tokens)
  double bits_per_byte() const;  // nll / (ln 2 · bytes)
};

}  // namespace a48::runtime
