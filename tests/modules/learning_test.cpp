// What training needs of the network: it overfits in every mode, codes flip everywhere, masters stay fp32,
// and no more is kept for backward than numerics.md 4.3 says.
#include "modules/telemetry.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"

namespace a48::test {
namespace {

config::Model tiny_model() {
  config::Model model = small_model();
  model.hidden_size = 64;
  model.intermediate_size = 128;
  model.num_attention_heads = 2;
  return model;
}

/// Adam steps on one batch until the mean loss is below `enough`; the last loss.
double train(nn::BitNetForCausalLM& model, const at::Tensor& ids, int steps, double enough = 0.0) {
  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(4e-3).weight_decay(0.0));
  double last = 0.0;
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = model->loss_sum(ids) / static_cast<double>(ids.size(0) * (ids.size(1) - 1));
    loss.backward();
    optimizer.step();
    model->weights_changed();
    last = loss.item<double>();
    if (last < enough) break;
  }
  return last;
}

}  // namespace

TEST_CASE("check 34: a tiny model overfits one batch below a loss of 0.1 in none, a8, a4.8 and a4.8-fp4") {
  constexpr double kSpecified = 0.1;
  for (const quant::Mode mode :
       {quant::Mode::none, quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4}) {
    nn::BitNetForCausalLM model = build(tiny_model(), mode);
    INFO(quant::row_of(mode).name);
    CHECK(train(model, random_ids(4, 33, 61), 600, kSpecified) < kSpecified);
  }
}

TEST_CASE(
    "check 16: after 50 steps codes have flipped in every matrix of every block; a frozen matrix is named") {
  nn::BitNetForCausalLM model = build(tiny_model(), quant::Mode::a8);
  nn::BitLinear frozen = model->model->linears()[4];
  const at::Tensor kept = frozen->weight.detach().clone();
  const std::vector<nn::MatrixInfo> before = model->ternary_matrices();
  train(model, random_ids(4, 33, 61), 50);
  const std::vector<nn::Flips> all = nn::flips(before, model->ternary_matrices());
  CHECK(all.size() == 14);
  for (const nn::Flips& matrix : all) CHECK(matrix.flipped > 0);
  CHECK(nn::frozen_matrices(all).empty());
  {
    const at::NoGradGuard no_grad;
    frozen->weight.copy_(kept);
  }
  CHECK(nn::frozen_matrices(nn::flips(before, model->ternary_matrices())) ==
        std::vector<std::string>{"model.layers.0.mlp.gate_proj.weight"});
}

TEST_CASE("two runs of one build give the same bits: losses, weights, gradients") {
  const auto run = [] {
    nn::BitNetForCausalLM model = build(tiny_model(), quant::Mode::a4_8);
    train(model, random_ids(4, 33, 61), 5);
    return model;
  };
  nn::BitNetForCausalLM one = run(), again = run();
  const auto wanted = again->named_parameters();
  for (const auto& item : one->named_parameters()) {
    CHECK(same_bits(item.value().detach(), wanted[item.key()].detach()));
    CHECK(same_bits(item.value().grad(), wanted[item.key()].grad()));
  }
}

TEST_CASE("the ternary histogram counts each code") {
  const nn::TernaryHistogram counts = nn::histogram(torch::tensor({{1, 0, -1}, {0, 0, 1}}, torch::kChar));
  CHECK(counts.minus == 1);
  CHECK(counts.zero == 3);
  CHECK(counts.plus == 2);
}

TEST_CASE("check 35: masters, gradients and moments are fp32; an update of 1e-4·|w| is not lost") {
  nn::BitNetForCausalLM model = build(tiny_model(), quant::Mode::a4_8);
  model->loss_sum(random_ids(2, 9, 61)).backward();
  const at::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    at::Tensor weight = item.value();
    CHECK(weight.scalar_type() == torch::kFloat);
    CHECK(weight.grad().scalar_type() == torch::kFloat);
    const at::Tensor before = weight.clone();
    weight.mul_(1.0001);
    CHECK(weight.ne(before).logical_or(before.eq(0)).all().item<bool>());
  }
}

TEST_CASE("check 17: saved bytes of every BitLinear are those of numerics.md 4.3") {
  const config::Model config = tiny_model();
  const std::int64_t rows = 3 * 16, h = config.hidden_size, g = config.intermediate_size;
  const std::int64_t all_linears = config.num_hidden_layers * rows;
  struct Row {
    quant::Mode mode;
    std::int64_t qkv, o, gate_up, down;  // bytes per token, step apart
  };
  for (const Row& row : {Row{quant::Mode::a8, h, h, h, g}, Row{quant::Mode::a4_8, h / 2, h, h / 2, g},
                         Row{quant::Mode::a4_8_fp4, h / 2, h / 2, h / 2, g}}) {
    nn::BitNetForCausalLM model = build(config, row.mode);
    const nn::SavedBytesReport saved = nn::measure_saved_bytes(model, random_ids(3, 17, 61));
    INFO(quant::row_of(row.mode).name);
    CHECK(saved.by_name.at("model.layers.1.self_attn.q_proj/input") == rows * row.qkv);
    CHECK(saved.by_name.at("model.layers.1.self_attn.q_proj/step") == rows * 4);
    CHECK(saved.by_name.at("model.layers.1.self_attn.o_proj/input") == rows * row.o);
    CHECK(saved.by_name.at("model.layers.1.mlp.gate_proj/input") == rows * row.gate_up);
    CHECK(saved.by_name.at("model.layers.1.mlp.down_proj/input") == rows * row.down);
    CHECK(saved.by_name.count("model.layers.1.self_attn.k_proj/input") == 0);  // shared with q_proj
    CHECK(saved.by_name.at("model.layers.1.mlp.up_proj/weight") == h * g);
    CHECK(saved.linear_inputs == all_linears * (row.qkv + row.o + row.gate_up + row.down + 16));
  }
  nn::BitNetForCausalLM plain = build(config, quant::Mode::none);
  CHECK(nn::measure_saved_bytes(plain, random_ids(3, 17, 61)).linear_inputs == all_linears * 4 * (3 * h + g));
}

TEST_CASE("check 17: all that autograd saves is counted, the log-sum-exp of attention included") {
  const config::Model config = tiny_model();
  const std::int64_t rows = 3 * 16, h = config.hidden_size, g = config.intermediate_size,
                     layers = config.num_hidden_layers, vocab = config.vocab_size;
  struct Row {
    quant::Mode mode;
    std::int64_t inputs;  // bytes per token of the linear inputs, steps apart
  };
  for (const Row& row : {Row{quant::Mode::a8, 3 * h + g}, Row{quant::Mode::a4_8, 2 * h + g}}) {
    nn::BitNetForCausalLM model = build(config, row.mode);
    model->set_implementations(config::AttentionImpl::sdpa, config::HeadImpl::gemm);
    const nn::SavedBytesReport saved = nn::measure_saved_bytes(model, random_ids(3, 17, 61));
    INFO(quant::row_of(row.mode).name);
    // Floats per token. Attention's sub-norm reads its output: each storage counts once.
    const std::int64_t norms = layers * (2 * h + g + 4) + h + 1;  // inputs, and r of every norm
    const std::int64_t attention = layers * 4 * h;                // q, k, v, output
    const std::int64_t gate_up = layers * 2 * g;
    const std::int64_t log_sum_exp = layers * config.num_attention_heads;
    const std::int64_t tables = 2 * 4 * config.max_position_embeddings * (config.head_dim() / 2);
    const std::int64_t rope = 4 * rows + tables;  // positions; cos and sin, which all layers share
    const std::int64_t ids = 8 * rows;            // of the embedding
    CHECK(saved.by_name.at("rope") == rope);
    CHECK(saved.by_name.at("unnamed") == 4 * rows * log_sum_exp + ids);
    CHECK(saved.linear_inputs == layers * rows * (row.inputs + 16));
    CHECK(saved.head == 4 * (rows * h + vocab * h));  // gradients of hidden states and head
    CHECK(saved.weights == layers * (4 * h * h + 3 * h * g) + 4 * (layers * (3 * h + g) + h));
    CHECK(saved.activations ==
          saved.linear_inputs + rope + ids + 4 * rows * (norms + attention + gate_up + log_sum_exp));
    CHECK(saved.total == saved.activations + saved.weights + saved.head);
  }
}

TEST_CASE("check 17: no float copy of a quantized input outlives the forward") {
  const at::Tensor gain = torch::ones({64}).requires_grad_();
  nn::BitLinear layer(64, 8);
  c10::weak_intrusive_ptr<c10::StorageImpl> storage{c10::intrusive_ptr<c10::StorageImpl>()};
  at::Tensor y;
  {
    const at::Tensor input = normal({4, 64}, 1) * gain;
    storage = input.storage().getWeakStorageImpl();
    y = layer(input);
  }
  CHECK(y.requires_grad());
  CHECK(storage.expired());
}

}  // namespace a48::test
