// Decoder: a packed model as LanguageModel. The algebra of modules/block.cpp on rows, without LibTorch:
// embedding, blocks, head, for a list of (sequence, token) pairs; the same bits as the trainer's evaluation.
// One token leaves out closed gates and zero inputs; nothing is allocated per token. Next: linear.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/buffer.h"
#include "core/kernels/rope_table.h"
#include "core/runtime/serving.h"
#include "core/runtime/sparsity.h"

namespace a48::runtime {

class Decoder : public LanguageModel {
 public:
  explicit Decoder(PackedModel model, const DecoderOptions& options = {});
  ~Decoder() override;

  const ModelInfo& info() const override { return serving_.info; }
  void start(std::int32_t sequences) override { cache_.start(sequences); }
  void reserve(std::int64_t positions) override { cache_.reserve(positions); }
  Rows<const float> feed(std::span<const TokenInput> tokens) override;
  void reset_sparsity() override { counts_ = {}; }
  Sparsity sparsity() const override { return sparsity_of(counts_, model_.model()); }

  const PackedModel& packed() const { return model_; }
  const KvCache& cache() const { return cache_; }
  const SparsityCounts& counts() const { return counts_; }
  /// Bytes of buffers, without the weights and the cache.
  std::int64_t activation_bytes() const;

 private:
  struct Forced;

  void make_room(std::int64_t rows);
  Rows<float> rows_of(Buffer<float>& buffer, std::int64_t width);
  void run_block(std::span<const TokenInput> tokens);
  void attention(std::int64_t layer);
  void feed_forward(std::int64_t layer);
  bool one_token() const { return rows_ == 1 && options_.skip_zeros; }
  void quantize(QuantizedInput& input, Rows<const float> x, const float* gain, const InputSlot& slot,
                std::int64_t layer, const char* linear);
  void norm(Rows<const float> x, const float* gain, Rows<float> y);
  void multiply_columns(const QuantizedInput& input, const kernels::TernaryMatrix& matrix, Rows<float> y,
                        ZeroCount& zeros);
  void add(Rows<float> x, Rows<const float> y);
  [[noreturn]] void fail_non_finite(std::int64_t row, const std::string& where) const;

  PackedModel model_;
  DecoderOptions options_;
  ServingPlan serving_;
  kernels::RopeTable rope_;
  KvCache cache_;
  SparsityCounts counts_;
  TokenScratch scratch_;
  std::unique_ptr<Forced> forced_;

  // Of the block of rows at work; [R, width] each.
  std::int64_t rows_ = 0, capacity_ = 0;
  std::span<const TokenInput> tokens_;
  std::vector<std::int32_t> sequence_, position_;
  Buffer<float> x_, normed_, q_, k_, v_, o_, gate_, up_, f_, hidden_;
  QuantizedInput hidden_input_, inner_input_;  // of width D, F
  Buffer<std::int8_t> head_codes_;
  Buffer<float> logits_;
};

}  // namespace a48::runtime
