// The model of the decoder tests: small, with widths that fill no block.
#pragma once

#include <cstdint>

#include "core/runtime/pack_model.h"

namespace a48::runtime {

inline constexpr std::int64_t kSmallVocabulary = 61;

inline config::Model small_model() {
  config::Model model;
  model.vocab_size = kSmallVocabulary;
  model.hidden_size = 48;
  model.intermediate_size = 100;
  model.num_hidden_layers = 2;
  model.num_attention_heads = 4;
  model.max_position_embeddings = 600;
  return model;
}

inline PackRequest request_for(quant::Mode mode) {
  PackRequest request;
  request.model = small_model();
  request.slots = quant::row_of(mode).slots;
  request.mode = quant::row_of(mode).name;
  return request;
}

}  // namespace a48::runtime
