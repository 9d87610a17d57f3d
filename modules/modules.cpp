// The seed API's two makers.
#include "modules/modules.h"

namespace a48 {
namespace {

BitNetConfig with_sizes(BitNetConfig config, std::int64_t hidden_size, std::int64_t intermediate_size,
                        std::int64_t num_hidden_layers, std::int64_t num_attention_heads) {
  config.hidden_size = hidden_size;
  config.intermediate_size = intermediate_size;
  config.num_hidden_layers = num_hidden_layers;
  config.num_attention_heads = num_attention_heads;
  return config;
}

}  // namespace

BitNetModel create_model(std::int64_t hidden_size, std::int64_t intermediate_size,
                         std::int64_t num_hidden_layers, std::int64_t num_attention_heads, BitNetConfig rest,
                         torch::Device device) {
  return BitNetModel(with_sizes(rest, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads),
                     device);
}

BitNetForCausalLM create_causal_lm(std::int64_t hidden_size, std::int64_t intermediate_size,
                                   std::int64_t num_hidden_layers, std::int64_t num_attention_heads,
                                   BitNetConfig rest, torch::Device device) {
  return BitNetForCausalLM(
      with_sizes(rest, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads), device);
}

}  // namespace a48
