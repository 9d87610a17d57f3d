// Pure functions of a configuration. Presets: presets.h.
#include "core/config/types.h"

#include <cmath>

#include "core/base/check.h"

namespace a48::config {

quant::Slots slots_of(quant::Mode mode, const Quant& overrides) {
  quant::Slots slots = quant::row_of(mode).slots;
  slots.ternary_weights = overrides.ternary_weights.value_or(slots.ternary_weights);
  slots.qkv = overrides.qkv.value_or(slots.qkv);
  slots.o = overrides.o.value_or(slots.o);
  slots.gate_up = overrides.gate_up.value_or(slots.gate_up);
  slots.down = overrides.down.value_or(slots.down);
  slots.topk_keep_o = overrides.topk_keep_o.value_or(slots.topk_keep_o);
  return slots;
}

std::int64_t stage_end(const RunConfig& config, std::size_t stage) {
  A48_ASSERT(stage < config.stages.size(), "stage ", stage, " of ", config.stages.size());
  const double steps = static_cast<double>(config.run.max_steps);
  return config.run.max_steps -
         static_cast<std::int64_t>(std::floor((1.0 - config.stages[stage].until) * steps + 0.5));
}

std::size_t stage_at(const RunConfig& config, std::int64_t step) {
  A48_ASSERT(step >= 0 && step < config.run.max_steps, "step ", step, " of ", config.run.max_steps);
  std::size_t stage = 0;
  while (stage + 1 < config.stages.size() && step >= stage_end(config, stage)) ++stage;
  return stage;
}

std::int64_t non_embedding_parameters(const Model& model) {
  const std::int64_t attention =
      2 * model.hidden_size * model.hidden_size + 2 * model.kv_heads() * model.head_dim() * model.hidden_size;
  return model.num_hidden_layers * (attention + 3 * model.hidden_size * model.intermediate_size);
}

std::int64_t embedding_parameters(const Model& model) {
  return model.vocab_size * model.hidden_size * (model.tie_word_embeddings ? 1 : 2);
}

std::int64_t total_parameters(const Model& model) {
  const std::int64_t sub_gains = model.sub_norm ? model.hidden_size + model.intermediate_size : 0;
  const std::int64_t gains =
      model.num_hidden_layers * (2 * model.hidden_size + sub_gains) + model.hidden_size;
  return non_embedding_parameters(model) + embedding_parameters(model) + gains;
}

}  // namespace a48::config
