// BitNetConfig: the seed API's configuration (numerics.md 7), with its fields, order of meaning and defaults,
// and what is new below them. Everything else works on config::Model and quant::Slots.
#pragma once

#include <cstdint>
#include <optional>

#include "core/config/types.h"
#include "core/quant/scheme.h"

namespace a48::nn {

struct BitNetConfig {
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t max_position_embeddings = 2048;
  std::int64_t vocab_size = 32000;
  std::optional<double> layer_norm_eps = {};  // the seed's name of rms_norm_eps; wins when set
  std::int64_t pad_token_id = 0;              // accepted; padding is masked, not embedded
  std::int64_t bos_token_id = 1;
  std::int64_t eos_token_id = 2;
  bool tie_word_embeddings = false;
  // New.
  std::int64_t num_key_value_heads = 0;  // 0 = num_attention_heads
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  config::Activation hidden_act = config::Activation::relu2;
  bool sub_norm = true;
  double initializer_range = 0.02;
  quant::Mode mode = quant::Mode::a4_8;
  config::Quant quant = {};  // slots set apart from the mode's
  std::uint64_t seed = 0;    // of the initial weights

  config::Model model() const;
  quant::Slots slots() const { return config::slots_of(mode, quant); }
};

}  // namespace a48::nn
