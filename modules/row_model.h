// RowModel: a BitNetForCausalLM as runtime::LanguageModel. The exact path of numerics.md 0: rows of
// (sequence, position) with fp32 keys and values, the same blocks and kernels as training, attention and head
// in their one fixed order; slots of type fp use LibTorch's product. Used by evaluation, generation and the
// scorer of checkpoints.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/runtime/model.h"
#include "core/runtime/sparsity.h"
#include "modules/causal_lm.h"
#include "modules/key_value_cache.h"

namespace a48::nn {

class RowModel : public runtime::LanguageModel {
 public:
  /// Shares the model; quantizes as `slots` say while it computes and leaves the model's own slots as they
  /// were. sequence_length: of training, for info(); 0 = the context.
  RowModel(BitNetForCausalLM model, const quant::Slots& slots, std::string source,
           std::int64_t sequence_length = 0);

  const runtime::ModelInfo& info() const override { return info_; }
  void start(std::int32_t sequences) override { cache_.start(sequences); }
  /// LibTorch's failures come as Errors; too little memory as Error(no_resources).
  Rows<const float> feed(std::span<const runtime::TokenInput> tokens) override;
  void reset_sparsity() override { counts_ = {}; }
  runtime::Sparsity sparsity() const override { return runtime::sparsity_of(counts_, model_->config()); }
  const runtime::SparsityCounts& counts() const { return counts_; }

 private:
  Rows<const float> logits_of(std::span<const runtime::TokenInput> tokens);
  at::Tensor checked_ids(std::span<const runtime::TokenInput> tokens) const;
  void check_finite(std::span<const runtime::TokenInput> tokens, const at::Tensor& position,
                    const at::Tensor& wanted) const;

  BitNetForCausalLM model_;
  quant::Slots slots_;
  runtime::ModelInfo info_;
  KeyValueCache cache_;
  runtime::SparsityCounts counts_;
  at::Tensor logits_;  // of the last feed
};

}  // namespace a48::nn
