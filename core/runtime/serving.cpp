#include "core/runtime/serving.h"

#include <algorithm>

#include "core/base/check.h"

namespace a48::runtime {
namespace {

void check_slots(const quant::Slots& slots, const std::string& source, const std::string& mode) {
  const bool quantized = slots.qkv != quant::Scheme::fp && slots.o != quant::Scheme::fp &&
                         slots.gate_up != quant::Scheme::fp && slots.down != quant::Scheme::fp;
  A48_CHECK(
      slots.ternary_weights && quantized, ErrorKind::config, source, ": mode ", mode,
      " has floating-point inputs or weights, which a packed model does not; allowed: a8, a4.8, a4.8-fp4");
}

}  // namespace

ServingPlan serving_of(const PackedModel& model, const DecoderOptions& options) {
  const config::Model& shape = model.model();
  ServingPlan serving;
  ModelInfo& info = serving.info;
  info.vocab_size = shape.vocab_size;
  info.max_positions = shape.max_position_embeddings;
  info.sequence_length =
      model.sequence_length() > 0 ? model.sequence_length() : shape.max_position_embeddings;
  info.bos_id = shape.bos_token_id;
  info.eos_id = shape.eos_token_id;
  info.non_embedding_parameters = config::non_embedding_parameters(shape);
  info.mode = options.slots ? options.mode : model.mode();
  info.source = model.source();
  const quant::Slots slots = options.slots.value_or(model.slots());
  check_slots(slots, info.source, info.mode);
  serving.qkv = {slots.qkv, 1.0};
  serving.o = {slots.o, slots.topk_keep_o};
  serving.gate_up = {slots.gate_up, 1.0};
  serving.down = {slots.down, 1.0};
  serving.cache_shape = {shape.num_hidden_layers, shape.num_attention_heads, shape.kv_heads(),
                         shape.head_dim()};
  serving.cache = options.cache.value_or(model.cache_format());
  return serving;
}

void check_tokens(const ModelInfo& info, std::span<const TokenInput> tokens,
                  std::span<const std::int64_t> lengths) {
  for (const TokenInput& token : tokens) {
    A48_ASSERT(token.sequence >= 0 && token.sequence < std::ssize(lengths), token.sequence, "of",
               lengths.size());
    A48_CHECK(token.id >= 0 && token.id < info.vocab_size, ErrorKind::bad_input, info.source, ": token id ",
              token.id, "; allowed: 0 to ", info.vocab_size - 1);
  }
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    const auto more = std::count_if(tokens.begin(), tokens.end(), [s](const TokenInput& token) {
      return static_cast<std::size_t>(token.sequence) == s;
    });
    A48_CHECK(lengths[s] + more <= info.max_positions, ErrorKind::bad_input, info.source, ": sequence ", s,
              " is longer than the model's context of ", info.max_positions, " tokens");
  }
}

void fail_non_finite(const ModelInfo& info, const std::string& where, const RowPlace& row) {
  fail(ErrorKind::not_finite, info.source, ": NaN or infinity at ", where, " (sequence ", row.sequence,
       ", position ", row.position, ") in mode ", info.mode,
       "; the weights are damaged or training diverged: take an earlier checkpoint");
}

std::string linear_input(std::int64_t layer, const char* linear) {
  return concat("model.layers.", layer, ".", linear, " input");
}

/// NaN or infinity times 0 is NaN, which stays in the sum.
bool all_finite(const float* x, std::int64_t n) {
  float sum = 0.0f;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * 0.0f;
  return sum == 0.0f;
}

}  // namespace a48::runtime
