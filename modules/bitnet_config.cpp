// The seed's field names as config::Model.
#include "modules/bitnet_config.h"

namespace a48::nn {

config::Model BitNetConfig::model() const {
  config::Model model;
  model.vocab_size = vocab_size;
  model.hidden_size = hidden_size;
  model.intermediate_size = intermediate_size;
  model.num_hidden_layers = num_hidden_layers;
  model.num_attention_heads = num_attention_heads;
  model.num_key_value_heads = num_key_value_heads > 0 ? num_key_value_heads : num_attention_heads;
  model.hidden_act = hidden_act;
  model.sub_norm = sub_norm;
  model.max_position_embeddings = max_position_embeddings;
  model.rope_theta = rope_theta;
  model.rms_norm_eps = layer_norm_eps.value_or(rms_norm_eps);
  model.initializer_range = initializer_range;
  model.tie_word_embeddings = tie_word_embeddings;
  model.bos_token_id = bos_token_id;
  model.eos_token_id = eos_token_id;
  return model;
}

}  // namespace a48::nn
