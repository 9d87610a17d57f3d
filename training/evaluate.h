// Validation and samples inside the loop, on the exact path (modules/row_model.h) and quantized as asked.
// Nothing here draws from the randomness of training or touches weights, so a run with evaluations is a run
// without them, bit for bit (training.md D4, V1, V2).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/types.h"
#include "core/quant/scheme.h"
#include "core/runtime/model.h"
#include "core/runtime/tokenizer.h"
#include "data/loader.h"
#include "modules/causal_lm.h"

namespace a48::train {

struct Validation {
  std::string mode;
  double loss = 0.0;  // nats per token
  double perplexity = 0.0;
  std::optional<double> bits_per_byte;  // where the tokenizer is known
  std::int64_t tokens = 0;
  runtime::Sparsity sparsity;
  double seconds = 0.0;
};

struct Sample {
  std::string prompt, text;
};

class Evaluator {
 public:
  /// Opens and checks the val split of every stage, made with the tokenizer of `train`; mock data has none.
  Evaluator(const config::RunConfig& config, const data::ShardSet& train);

  bool has_validation() const { return config_.data.kind == config::DataKind::shards; }
  /// Scored by one validation of a stage's data.
  std::int64_t tokens(std::size_t stage) const {
    return pieces_.empty() ? 0 : pieces_[stage].scored_tokens();
  }
  /// Validation of a stage's data in a mode. Nothing when a stop was requested before it was complete.
  std::optional<Validation> validate(const nn::BitNetForCausalLM& model, std::size_t stage, quant::Mode mode);
  /// One text per prompt of eval.prompts; fewer when a stop was requested.
  std::vector<Sample> samples(const nn::BitNetForCausalLM& model, std::size_t stage);

 private:
  config::RunConfig config_;
  std::vector<data::EvaluationPieces> pieces_;     // per stage
  std::unique_ptr<runtime::Tokenizer> tokenizer_;  // null: unknown
};

}  // namespace a48::train
