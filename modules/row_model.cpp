// feed: check, append to the cache, run the blocks on the rows, head for the wanted ones. Next: causal_lm.cpp
// (forward_rows).
#include "modules/row_model.h"

#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/ops/bridge.h"
#include "core/ops/head.h"
#include "core/ops/status.h"
#include "core/ops/torch_errors.h"

namespace a48::nn {
namespace {

std::string mode_name(const quant::Slots& slots) {
  for (const quant::ModeRow& row : quant::kModes) {
    if (row.slots == slots) return row.name;
  }
  return "custom";
}

/// Other slots for a while.
class WithSlots {
 public:
  WithSlots(BitNetForCausalLMImpl& model, const quant::Slots& slots) : model_(model), before_(model.slots()) {
    model_.set_slots(slots);
  }
  ~WithSlots() { model_.set_slots(before_); }
  WithSlots(const WithSlots&) = delete;
  WithSlots& operator=(const WithSlots&) = delete;

 private:
  BitNetForCausalLMImpl& model_;
  const quant::Slots before_;
};

}  // namespace

RowModel::RowModel(BitNetForCausalLM model, const quant::Slots& slots, std::string source,
                   std::int64_t sequence_length)
    : model_(std::move(model)),
      slots_(slots),
      cache_(model_->config().num_hidden_layers, model_->config().num_attention_heads,
             model_->config().kv_heads(), model_->config().head_dim()) {
  const config::Model& config = model_->config();
  info_.vocab_size = config.vocab_size;
  info_.max_positions = config.max_position_embeddings;
  info_.sequence_length = sequence_length > 0 ? sequence_length : config.max_position_embeddings;
  info_.bos_id = config.bos_token_id;
  info_.eos_id = config.eos_token_id;
  info_.non_embedding_parameters = config::non_embedding_parameters(config);
  info_.mode = mode_name(slots);
  info_.source = std::move(source);
}

at::Tensor RowModel::checked_ids(std::span<const runtime::TokenInput> tokens) const {
  std::vector<std::int64_t> ids, length(static_cast<std::size_t>(cache_.sequences()));
  for (std::int32_t s = 0; s < cache_.sequences(); ++s)
    length[static_cast<std::size_t>(s)] = cache_.length(s);
  for (const runtime::TokenInput& token : tokens) {
    A48_ASSERT(token.sequence >= 0 && token.sequence < cache_.sequences(), token.sequence, "of",
               cache_.sequences());
    A48_CHECK(token.id >= 0 && token.id < info_.vocab_size, ErrorKind::bad_input, info_.source, ": token id ",
              token.id, "; allowed: 0 to ", info_.vocab_size - 1);
    A48_CHECK(length[static_cast<std::size_t>(token.sequence)]++ < info_.max_positions, ErrorKind::bad_input,
              info_.source, ": sequence ", token.sequence, " is longer than the model's context of ",
              info_.max_positions, " tokens");
    ids.push_back(token.id);
  }
  return torch::tensor(ids, torch::kLong);
}

void RowModel::check_finite(std::span<const runtime::TokenInput> tokens, const at::Tensor& position,
                            const at::Tensor& wanted) const {
  std::optional<std::string> found = ops::first_non_finite();
  std::int64_t row = ops::first_non_finite_row();
  if (!found && logits_.numel() > 0 && !logits_.isfinite().all().item<bool>()) {
    const std::int64_t first = logits_.isfinite().all(1).logical_not().nonzero()[0].item<std::int64_t>();
    row = wanted[first].item<std::int64_t>();
    found = "lm_head output";
  }
  if (!found) return;
  const std::string where = row < 0 ? std::string()
                                    : concat(" (sequence ", tokens[static_cast<std::size_t>(row)].sequence,
                                             ", position ", position[row].item<std::int32_t>(), ")");
  fail(ErrorKind::not_finite, info_.source, ": NaN or infinity at ", *found, where, " in mode ", info_.mode,
       "; the weights are damaged or training diverged: take an earlier checkpoint");
}

Rows<const float> RowModel::feed(std::span<const runtime::TokenInput> tokens) {
  return ops::with_torch_errors([&] { return logits_of(tokens); });
}

Rows<const float> RowModel::logits_of(std::span<const runtime::TokenInput> tokens) {
  const at::NoGradGuard no_grad;
  const ops::NonFiniteScope own_record;
  const WithSlots own_slots(*model_, slots_);

  const at::Tensor ids = checked_ids(tokens);
  std::vector<std::int32_t> sequence_of_row;
  std::vector<std::int64_t> wants_logits;
  for (const runtime::TokenInput& token : tokens) {
    if (token.wants_logits) wants_logits.push_back(static_cast<std::int64_t>(sequence_of_row.size()));
    sequence_of_row.push_back(token.sequence);
  }
  if (tokens.empty()) return {nullptr, 0, info_.vocab_size};

  const at::Tensor position = cache_.append(sequence_of_row);
  const Pass pass{.position = uploaded(position, model_->model->device()),
                  .begin = {},
                  .exact = true,
                  .cache = &cache_,
                  .counts = &counts_};
  const at::Tensor hidden = model_->model->forward_rows(ids, pass);  // [R, D]
  const at::Tensor wanted = torch::tensor(wants_logits, torch::kLong);
  logits_ = ops::exact_head(hidden.index_select(0, uploaded(wanted, hidden.device())), model_->head_weight())
                .to(torch::kCPU);
  check_finite(tokens, position, wanted);
  return ops::rows_of<const float>(logits_);
}

}  // namespace a48::nn
