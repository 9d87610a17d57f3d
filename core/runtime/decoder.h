// Decoder: a packed model as LanguageModel. The algebra of modules/block.cpp on rows, without LibTorch:
// embedding, blocks, head, for a list of (sequence, token) pairs; the same bits as the trainer's evaluation.
// One token leaves out closed gates and zero inputs; nothing is allocated per token. Next: linear.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/buffer.h"
#include "core/kernels/rope_table.h"
#include "core/runtime/kv_cache.h"
#include "core/runtime/linear.h"
#include "core/runtime/model.h"
#include "core/runtime/packed_file.h"
#include "core/runtime/sparsity.h"

namespace a48::runtime {

/// Shares of work that a benchmark sets by force, in place of what the model's own activations give: open
/// gates, non-zero inputs of down and of o. 1 = nothing is skipped. The text that comes out has no meaning.
struct ForcedDensity {
  double up = 1.0, down = 1.0, out = 1.0;
};

struct DecoderOptions {
  std::optional<quant::Slots> slots;  // other input quantizers than the file names
  std::string mode;                   // their name, for messages
  std::optional<CacheFormat> cache;   // other than the file's
  bool skip_zeros = true;             // false: one token is multiplied as several are, with nothing left out
  std::optional<ForcedDensity> forced;
};

class Decoder : public LanguageModel {
 public:
  explicit Decoder(PackedModel model, const DecoderOptions& options = {});
  ~Decoder() override;

  const ModelInfo& info() const override { return info_; }
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
  void check(std::span<const TokenInput> tokens);
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
  ModelInfo info_;
  quant::Slots slots_;
  InputSlot qkv_slot_, o_slot_, gate_up_slot_, down_slot_;
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
