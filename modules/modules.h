// The library: everything of this folder, and the seed API of numerics.md 7 lifted into a48. For programs on
// top and for tests; the sources of the tree include the single headers.
#pragma once

#include <cstdint>

#include "core/ops/threads.h"
#include "modules/bit_linear.h"
#include "modules/bitnet_config.h"
#include "modules/block.h"
#include "modules/causal_lm.h"
#include "modules/quantizers.h"
#include "modules/row_model.h"
#include "modules/seed_state.h"
#include "modules/telemetry.h"

namespace a48 {

using nn::BitLinear;
using nn::BitNetAttention;
using nn::BitNetBlock;
using nn::BitNetConfig;
using nn::BitNetForCausalLM;
using nn::BitNetMLP;
using nn::BitNetModel;
using nn::Fp4Quantizer;
using nn::Int4Quantizer;
using nn::Int8Quantizer;
using nn::RMSNorm;
using nn::TernaryQuantizer;
using nn::TopKSparsifier;

/// An initialised BitNet a4.8; the sizes' defaults are those of BitNetConfig. `rest` names further fields:
/// create_model(816, 2202, 6, 6, {.vocab_size = 8000}); its four sizes are replaced by the arguments before
/// it. Hidden states come out; for logits see create_causal_lm.
BitNetModel create_model(std::int64_t hidden_size = BitNetConfig().hidden_size,
                         std::int64_t intermediate_size = BitNetConfig().intermediate_size,
                         std::int64_t num_hidden_layers = BitNetConfig().num_hidden_layers,
                         std::int64_t num_attention_heads = BitNetConfig().num_attention_heads,
                         BitNetConfig rest = {}, torch::Device device = torch::kCPU);

/// The same with head, loss and logits.
BitNetForCausalLM create_causal_lm(std::int64_t hidden_size = BitNetConfig().hidden_size,
                                   std::int64_t intermediate_size = BitNetConfig().intermediate_size,
                                   std::int64_t num_hidden_layers = BitNetConfig().num_hidden_layers,
                                   std::int64_t num_attention_heads = BitNetConfig().num_attention_heads,
                                   BitNetConfig rest = {}, torch::Device device = torch::kCPU);

}  // namespace a48
