#include "training/scorer.h"

#include "core/ops/threads.h"
#include "modules/causal_lm.h"
#include "modules/row_model.h"
#include "training/checkpoint.h"
#include "training/stages.h"
#include "training/step.h"
#include "training/torch_errors.h"

namespace a48::train {
namespace {

OpenedModel open(const std::string& path, std::optional<quant::Mode> mode) {
  ops::use_torch_threads();
  const Checkpoint checkpoint = find_checkpoint(path);
  OpenedModel opened;
  opened.config = checkpoint.config;
  opened.checkpoint = checkpoint.folder.string();
  opened.tokenizer_path = checkpoint.tokenizer_path();
  opened.step = checkpoint.step;

  nn::BitNetForCausalLM model(checkpoint.config.model);
  load_weights(checkpoint, parameters_of(model));
  model->weights_changed();
  const std::size_t stage = stage_reached(checkpoint.config, checkpoint.step);
  const quant::Slots slots =
      slots_in_mode(checkpoint.config, stage, mode.value_or(checkpoint.config.stages[stage].mode));
  opened.model = std::make_unique<nn::RowModel>(model, slots, opened.checkpoint,
                                                checkpoint.config.stages[stage].data.sequence_length);
  return opened;
}

}  // namespace

OpenedModel open_model(const std::string& path, std::optional<quant::Mode> mode) {
  return with_torch_errors([&] { return open(path, mode); });
}

}  // namespace a48::train
