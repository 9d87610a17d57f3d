// The network: BitNetModel (embedding, blocks, final norm) and BitNetForCausalLM (with head and loss).
// Parameter names are those of formats.md 2.4. Next: block.h; the same network as runtime::LanguageModel:
// row_model.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/types.h"
#include "core/quant/scheme.h"
#include "core/runtime/sampler.h"
#include "modules/bitnet_config.h"
#include "modules/block.h"
#include "modules/pass.h"
#include "modules/token_rows.h"

namespace a48::nn {

/// A ternary matrix for telemetry and export.
struct MatrixInfo {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  at::Tensor weight;
  ops::TernaryWeight codes;
};

class BitNetModelImpl : public torch::nn::Module {
 public:
  /// Weights 0, gains 1 until initialise or a load; mode a4.8. Invalid shapes are Error(config), a model that
  /// does not fit Error(no_resources); device torch::kMeta builds shapes only.
  explicit BitNetModelImpl(const config::Model& model, torch::Device device = torch::kCPU);
  /// Initialised from config.seed, in config.mode.
  explicit BitNetModelImpl(const BitNetConfig& config, torch::Device device = torch::kCPU);

  /// ids [B, T] int64 on the CPU or the model's device, mask [B, T] of 0/1 (1 = real) or undefined -> hidden
  /// states [B, T, D] after the final norm, 0 at padding.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& mask = {});
  /// ids [R] on any device -> [R, D] after the final norm; pass.position is on the model's device.
  at::Tensor forward_rows(const at::Tensor& ids, const Pass& pass);
  /// How the rows of a batch are computed: on a CPU exact without gradients and in eval mode, else as
  /// set_attention says.
  Pass pass_of(const TokenRows& rows) const;

  void initialise(std::uint64_t seed);
  void set_slots(const quant::Slots& slots);
  const quant::Slots& slots() const { return slots_; }
  void set_attention(config::AttentionImpl attention) { attention_ = attention; }
  /// Type of the activations: fp32, or bf16 on a GPU. Masters and gradients stay fp32.
  void set_compute(at::ScalarType type) { compute_ = type; }
  void set_recompute_glu(bool recompute);
  torch::Device device() const { return embed_tokens->weight.device(); }
  void weights_changed();
  /// Every BitLinear, in order of its name's place in the model.
  std::vector<BitLinear> linears() const;
  /// Checks ids [B, T] against vocabulary and context.
  TokenRows rows_of(const at::Tensor& ids, const at::Tensor& mask) const;

  const config::Model& config() const { return config_; }

  torch::nn::Embedding embed_tokens{nullptr};
  torch::nn::ModuleList layers{nullptr};
  RMSNorm norm{nullptr};

 private:
  config::Model config_;
  quant::Slots slots_;
  config::AttentionImpl attention_ = config::AttentionImpl::sdpa;
  at::ScalarType compute_ = torch::kFloat;
};
TORCH_MODULE(BitNetModel);

/// The head's own matrix, where it is not the embedding.
class LmHeadImpl : public torch::nn::Module {
 public:
  LmHeadImpl(std::int64_t vocab, std::int64_t width, torch::Device device) {
    weight = register_parameter("weight", torch::zeros({vocab, width}, device));
  }
  at::Tensor weight;  // [V, D]
};
TORCH_MODULE(LmHead);

struct GenerateOptions {
  std::int64_t max_new_tokens = 32;
  runtime::SamplerOptions sampler;  // temperature 0 = greedy
  std::uint64_t seed = 1;
};

class BitNetForCausalLMImpl : public torch::nn::Module {
 public:
  explicit BitNetForCausalLMImpl(const config::Model& model, torch::Device device = torch::kCPU);
  explicit BitNetForCausalLMImpl(const BitNetConfig& config, torch::Device device = torch::kCPU);

  /// ids [B, T], mask [B, T] or undefined -> logits [B, T, V], 0 at padding.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& mask = {});
  /// Σ −ln p(ids[b, t+1] | ids[b, 0…t]) over ids [B, T+1]: fp32 scalar with graph.
  at::Tensor loss_sum(const at::Tensor& ids);
  /// Mean −ln p(labels[b, t] | ids[b, 0…t]): labels [B, T] are the next tokens; −100, and positions of mask
  /// 0, do not count.
  at::Tensor loss(const at::Tensor& ids, const at::Tensor& labels, const at::Tensor& mask = {});
  /// hidden [..., D] -> logits [..., V].
  at::Tensor head(const at::Tensor& hidden) const;

  /// Continues each sequence of ids [B, T] (mask as in forward) in the present mode; new tokens per sequence,
  /// EOS last when it came. Token t of sequence b is drawn with f(seed, b, t): a batch equals its sequences
  /// one by one when greedy.
  std::vector<std::vector<std::int64_t>> generate(const at::Tensor& ids, const at::Tensor& mask = {},
                                                  const GenerateOptions& options = {});

  /// N(0, std²) by random_normal(seed, stream_of("init:" + parameter name), index); gains 1 (init.h).
  void initialise(std::uint64_t seed);
  /// The stage switch: quantizers only, no weight.
  void set_slots(const quant::Slots& slots) { model->set_slots(slots); }
  const quant::Slots& slots() const { return model->slots(); }
  void set_implementations(config::AttentionImpl attention, config::HeadImpl head);
  /// Dtype of the backward products on integer codes and of the head's.
  void set_backward(ops::BackwardDtype dtype);
  /// After every optimizer step or load.
  void weights_changed() { model->weights_changed(); }
  /// q, k, v, o, gate, up, down of every block, in that order.
  std::vector<MatrixInfo> ternary_matrices() const;

  const config::Model& config() const { return model->config(); }
  /// The head's matrix [V, D]; the embedding when tied.
  const at::Tensor& head_weight() const { return tied_ ? model->embed_tokens->weight : lm_head->weight; }

  BitNetModel model{nullptr};
  LmHead lm_head{nullptr};  // empty when tied

 private:
  bool tied_;
  config::HeadImpl head_ = config::HeadImpl::gemm;
  ops::BackwardDtype backward_ = ops::BackwardDtype::fp32;

  bool exact_head() const;
  at::Tensor row_loss(const at::Tensor& hidden, const at::Tensor& target) const;
};
TORCH_MODULE(BitNetForCausalLM);

}  // namespace a48::nn
