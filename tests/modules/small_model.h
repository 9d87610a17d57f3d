// The model of these tests: small, with odd sizes where they bite, and quick to train.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/rng.h"
#include "modules/modules.h"
#include "tests/support/gradcheck.h"

namespace a48::test {

inline const std::vector<quant::Mode> kQuantizedModes{quant::Mode::a8, quant::Mode::a4_8,
                                                      quant::Mode::a4_8_fp4};

inline config::Model small_model() {
  config::Model model;
  model.vocab_size = 61;
  model.hidden_size = 48;
  model.intermediate_size = 100;
  model.num_hidden_layers = 2;
  model.num_attention_heads = 4;
  model.max_position_embeddings = 600;
  model.scaled_init = true;  // activations of size one, so that no quantizer idles
  return model;
}

inline nn::BitNetForCausalLM build(const config::Model& config, quant::Mode mode,
                                   std::uint64_t seed_of_weights = 3) {
  nn::BitNetForCausalLM model(config);
  model->initialise(seed_of_weights);
  model->set_slots(quant::row_of(mode).slots);
  return model;
}

/// Token ids [batch, length], none of them BOS or EOS.
inline at::Tensor random_ids(std::int64_t batch, std::int64_t length, std::int64_t vocab,
                             std::uint64_t stream = 1) {
  at::Tensor ids = torch::empty({batch, length}, torch::kLong);
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::uint64_t bits = random_bits(seed(), stream, static_cast<std::uint64_t>(i));
    ids.data_ptr<std::int64_t>()[i] =
        3 + static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(vocab - 3));
  }
  return ids;
}

/// Logits [T, V] of one sequence [T], fed `at_a_time` tokens to a call.
inline at::Tensor feed(nn::RowModel& rows, const at::Tensor& ids, std::int64_t at_a_time) {
  rows.start(1);
  std::vector<at::Tensor> parts;
  for (std::int64_t begin = 0; begin < ids.size(0); begin += at_a_time) {
    std::vector<runtime::TokenInput> tokens;
    for (std::int64_t t = begin; t < std::min(begin + at_a_time, ids.size(0)); ++t) {
      tokens.push_back({0, static_cast<std::int32_t>(ids[t].item<std::int64_t>()), true});
    }
    const Rows<const float> logits = rows.feed(tokens);
    parts.push_back(torch::from_blob(const_cast<float*>(logits.data), {logits.rows, logits.cols}).clone());
  }
  return torch::cat(parts);
}

}  // namespace a48::test
