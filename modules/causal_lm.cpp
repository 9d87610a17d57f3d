// The network on rows of real tokens: embedding, blocks, final norm, head, loss. Next: block.cpp.
#include "modules/causal_lm.h"

#include "core/base/check.h"
#include "core/ops/head.h"
#include "core/ops/rope.h"
#include "modules/init.h"
#include "modules/memory.h"

namespace a48::nn {
namespace {

void check_shapes(const config::Model& m) {
  const auto positive = [](const char* name, std::int64_t value) {
    A48_CHECK(value >= 1, ErrorKind::config, "model.", name, " is ", value, "; allowed: 1 and more");
  };
  positive("vocab_size", m.vocab_size);
  positive("hidden_size", m.hidden_size);
  positive("intermediate_size", m.intermediate_size);
  positive("num_hidden_layers", m.num_hidden_layers);
  positive("num_attention_heads", m.num_attention_heads);
  positive("max_position_embeddings", m.max_position_embeddings);
  A48_CHECK(m.hidden_size % m.num_attention_heads == 0, ErrorKind::config, "model.hidden_size ",
            m.hidden_size, " is not a multiple of model.num_attention_heads ", m.num_attention_heads);
  A48_CHECK(m.head_dim() % 2 == 0, ErrorKind::config, "model.hidden_size / model.num_attention_heads is ",
            m.head_dim(), "; rotary positions need an even head size");
  A48_CHECK(m.num_attention_heads % m.kv_heads() == 0, ErrorKind::config, "model.num_attention_heads ",
            m.num_attention_heads, " is not a multiple of model.num_key_value_heads ", m.kv_heads());
}

void check_fits(const config::Model& model, bool with_head, torch::Device device) {
  if (device.is_meta()) return;
  const std::int64_t head = with_head || model.tie_word_embeddings ? 0 : model.vocab_size * model.hidden_size;
  check_memory(config::total_parameters(model) - head, device);
}

const config::Model& checked(const config::Model& model, bool with_head, torch::Device device) {
  check_shapes(model);
  check_fits(model, with_head, device);
  return model;
}

}  // namespace

BitNetModelImpl::BitNetModelImpl(const config::Model& model, torch::Device device)
    : config_(checked(model, false, device)) {
  const auto embedding = torch::nn::EmbeddingOptions(model.vocab_size, model.hidden_size);
  embed_tokens = register_module(  // given a weight, it draws no random one
      "embed_tokens", torch::nn::Embedding(torch::nn::EmbeddingOptions(embedding)._weight(
                          torch::zeros({model.vocab_size, model.hidden_size}, device))));
  layers = register_module("layers", torch::nn::ModuleList());
  LayerPlace place{.device = device};
  if (!device.is_meta()) {
    place.rope = rope_tables_on(device, model);
  }
  for (place.index = 0; place.index < model.num_hidden_layers; ++place.index) {
    place.path = concat("model.layers.", place.index);
    layers->push_back(BitNetBlock(model, place));
  }
  norm = register_module("norm", RMSNorm(model.hidden_size, model.rms_norm_eps, device));
  set_slots(quant::row_of(quant::Mode::a4_8).slots);
}

BitNetModelImpl::BitNetModelImpl(const BitNetConfig& config, torch::Device device)
    : BitNetModelImpl(config.model(), device) {
  set_slots(config.slots());
  initialise(config.seed);
}

TokenRows BitNetModelImpl::rows_of(const at::Tensor& ids, const at::Tensor& mask) const {
  A48_CHECK(ids.dim() == 2 && ids.scalar_type() == torch::kLong, ErrorKind::config,
            "ids: ", ids.scalar_type(), " of shape ", ids.sizes(), "; allowed: int64 [batch, tokens]");
  A48_CHECK(ids.numel() > 0, ErrorKind::config, "ids: no tokens in shape ", ids.sizes());
  const std::int64_t smallest = ids.min().item<std::int64_t>(), largest = ids.max().item<std::int64_t>();
  A48_CHECK(smallest >= 0 && largest < config_.vocab_size, ErrorKind::bad_input, "ids: token ",
            smallest < 0 ? smallest : largest, "; allowed: 0 to ", config_.vocab_size - 1);
  TokenRows rows = token_rows(ids.size(0), ids.size(1), mask);
  for (std::size_t b = 0; b + 1 < rows.begin.size(); ++b) {
    const std::int64_t count = rows.begin[b + 1] - rows.begin[b];
    A48_CHECK(count <= config_.max_position_embeddings, ErrorKind::config, "ids: sequence ", b, " has ",
              count, " tokens; the model's context is ", config_.max_position_embeddings,
              " (model.max_position_embeddings)");
  }
  return rows;
}

Pass BitNetModelImpl::pass_of(const TokenRows& rows) const {
  const bool exact =
      !at::GradMode::is_enabled() || !is_training() || attention_ == config::AttentionImpl::exact;
  return pass_beside(embed_tokens->weight, rows, exact);
}

at::Tensor BitNetModelImpl::forward_rows(const at::Tensor& ids, const Pass& pass) {
  at::Tensor x = embed_tokens(uploaded(ids, device())).to(compute_);  // [R, D]
  for (const auto& layer : *layers) x = layer->as<BitNetBlock>()->forward_rows(x, pass);
  return norm(x);
}

at::Tensor BitNetModelImpl::forward(const at::Tensor& ids, const at::Tensor& mask) {
  const TokenRows rows = rows_of(ids, mask);
  return spread_rows(forward_rows(gather_rows(ids, rows), pass_of(rows)), rows);
}

void BitNetModelImpl::initialise(std::uint64_t seed) {
  nn::initialise(*this, "model.", config_, seed);
  weights_changed();
}

void BitNetModelImpl::set_slots(const quant::Slots& slots) {
  slots_ = slots;
  for (const auto& layer : *layers) layer->as<BitNetBlock>()->set_slots(slots);
}

void BitNetModelImpl::set_recompute_glu(bool recompute) {
  for (const auto& layer : *layers) layer->as<BitNetBlock>()->mlp->set_recompute(recompute);
}

std::vector<BitLinear> BitNetModelImpl::linears() const {
  std::vector<BitLinear> all;
  for (const auto& layer : *layers) {
    const auto* block = layer->as<BitNetBlock>();
    const BitNetAttention& attention = block->self_attn;
    const BitNetMLP& mlp = block->mlp;
    for (const BitLinear& linear : {attention->q_proj, attention->k_proj, attention->v_proj,
                                    attention->o_proj, mlp->gate_proj, mlp->up_proj, mlp->down_proj}) {
      all.push_back(linear);
    }
  }
  return all;
}

void BitNetModelImpl::weights_changed() {
  for (BitLinear linear : linears()) linear->weights_changed();
}

BitNetForCausalLMImpl::BitNetForCausalLMImpl(const config::Model& config, torch::Device device)
    : tied_(checked(config, true, device).tie_word_embeddings) {
  model = register_module("model", BitNetModel(config, device));
  if (!tied_) lm_head = register_module("lm_head", LmHead(config.vocab_size, config.hidden_size, device));
}

BitNetForCausalLMImpl::BitNetForCausalLMImpl(const BitNetConfig& config, torch::Device device)
    : BitNetForCausalLMImpl(config.model(), device) {
  set_slots(config.slots());
  initialise(config.seed);
}

void BitNetForCausalLMImpl::initialise(std::uint64_t seed) {
  nn::initialise(*this, "", config(), seed);
  weights_changed();
}

void BitNetForCausalLMImpl::set_implementations(config::AttentionImpl attention, config::HeadImpl head) {
  model->set_attention(attention);
  head_ = head;
}

void BitNetForCausalLMImpl::set_backward(ops::BackwardDtype dtype) {
  backward_ = dtype;
  for (BitLinear linear : model->linears()) linear->set_backward(dtype);
}

bool BitNetForCausalLMImpl::exact_head() const {
  return !at::GradMode::is_enabled() || !is_training() || head_ == config::HeadImpl::exact;
}

at::Tensor BitNetForCausalLMImpl::head(const at::Tensor& hidden) const {
  return exact_head() ? ops::exact_head(hidden, head_weight(), backward_)
                      : at::linear(hidden, head_weight().to(hidden.scalar_type()));
}

at::Tensor BitNetForCausalLMImpl::row_loss(const at::Tensor& hidden, const at::Tensor& target) const {
  if (target.device() != hidden.device()) {  // looked at here, where that takes no waiting
    ops::check_targets(target, hidden.size(0), config().vocab_size);
    return row_loss(hidden, uploaded(target, hidden.device()));
  }
  if (!exact_head()) return ops::head_loss_sum(hidden, head_weight(), target, backward_);
  ops::check_targets(target, hidden.size(0), config().vocab_size);
  return torch::nn::functional::cross_entropy(
      head(hidden), target, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
}

at::Tensor BitNetForCausalLMImpl::forward(const at::Tensor& ids, const at::Tensor& mask) {
  const TokenRows rows = model->rows_of(ids, mask);
  return spread_rows(head(model->forward_rows(gather_rows(ids, rows), model->pass_of(rows))), rows);
}

at::Tensor BitNetForCausalLMImpl::loss_sum(const at::Tensor& ids) {
  A48_CHECK(ids.dim() == 2 && ids.size(1) >= 2, ErrorKind::config, "loss: ids of shape ", ids.sizes(),
            "; allowed: [batch, tokens + 1] with at least 2 columns");
  const at::Tensor inputs = ids.narrow(1, 0, ids.size(1) - 1), labels = ids.narrow(1, 1, ids.size(1) - 1);
  const TokenRows rows = model->rows_of(inputs, {});
  return row_loss(model->forward_rows(inputs.flatten(), model->pass_of(rows)), labels.flatten());
}

at::Tensor BitNetForCausalLMImpl::loss(const at::Tensor& ids, const at::Tensor& labels,
                                       const at::Tensor& mask) {
  constexpr std::int64_t kIgnored = -100;
  A48_CHECK(labels.sizes() == ids.sizes() && labels.scalar_type() == torch::kLong, ErrorKind::config,
            "labels: ", labels.scalar_type(), " of shape ", labels.sizes(),
            "; allowed: int64 of the shape of ids, ", ids.sizes());
  const TokenRows rows = model->rows_of(ids, mask);
  const at::Tensor hidden = model->forward_rows(gather_rows(ids, rows), model->pass_of(rows));
  const at::Tensor targets = gather_rows(labels, rows);
  const at::Tensor counted = targets.ne(kIgnored).nonzero().flatten();  // rows that count
  A48_CHECK(counted.numel() > 0, ErrorKind::config, "labels: no position counts; all are -100 or masked");
  return row_loss(hidden.index_select(0, uploaded(counted, hidden.device())),
                  targets.index_select(0, counted)) /
         static_cast<double>(counted.numel());
}

std::vector<MatrixInfo> BitNetForCausalLMImpl::ternary_matrices() const {
  std::vector<MatrixInfo> all;
  for (BitLinear linear : model->linears()) {
    all.push_back({linear->name + ".weight", linear->weight, linear->ternary()});
  }
  return all;
}

}  // namespace a48::nn
