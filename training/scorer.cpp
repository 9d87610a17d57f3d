#include "training/scorer.h"

#include "core/ops/threads.h"
#include "core/ops/torch_errors.h"
#include "modules/causal_lm.h"
#include "modules/row_model.h"
#include "training/checkpoint.h"
#include "training/devices.h"
#include "training/stages.h"
#include "training/step.h"

namespace a48::train {
namespace {

void round_to_bf16(const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  weight.copy_(weight.to(torch::kBFloat16));
}

OpenedModel open(const std::string& path, std::optional<quant::Mode> mode, torch::Device device,
                 bool bf16_ends) {
  ops::use_torch_threads();
  const Checkpoint checkpoint = find_checkpoint(path);
  OpenedModel opened;
  opened.config = checkpoint.config;
  opened.checkpoint = checkpoint.folder.string();
  opened.tokenizer_path = checkpoint.tokenizer_path();
  opened.tokenizer_kind = checkpoint.state.tokenizer.kind;
  opened.tokenizer_sha256 = checkpoint.state.tokenizer.sha256;
  opened.step = checkpoint.step;
  opened.tokens = checkpoint.manifest.tokens;

  nn::BitNetForCausalLM model(checkpoint.config.model, device);
  load_weights(checkpoint, parameters_of(model));
  if (bf16_ends) {
    round_to_bf16(model->model->embed_tokens->weight);
    if (!checkpoint.config.model.tie_word_embeddings) round_to_bf16(model->lm_head->weight);
  }
  model->weights_changed();
  const std::size_t stage = stage_reached(checkpoint.config, checkpoint.step);
  opened.slots = slots_in_mode(checkpoint.config, stage, mode.value_or(checkpoint.config.stages[stage].mode));
  opened.model = std::make_unique<nn::RowModel>(model, opened.slots, opened.checkpoint,
                                                checkpoint.config.stages[stage].data.sequence_length);
  return opened;
}

}  // namespace

OpenedModel open_model(const std::string& path, std::optional<quant::Mode> mode) {
  return ops::with_torch_errors([&] { return open(path, mode, torch::kCPU, false); });
}

OpenedModel open_bf16_model(const std::string& path, std::optional<quant::Mode> mode) {
  return ops::with_torch_errors([&] { return open(path, mode, torch::kCPU, true); });
}

OpenedModel open_model_on_gpu(const std::string& path, std::optional<quant::Mode> mode) {
  return ops::with_torch_errors(
      [&] { return open(path, mode, place_on_gpu(config::Dtype::fp32).device, false); });
}

}  // namespace a48::train
