// RowModel: the exact evaluation path equals the training modules in eval mode, whatever the grouping of
// tokens.
#include "modules/row_model.h"

#include "core/ops/attention.h"
#include "core/ops/rope.h"
#include "core/ops/status.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::test {

TEST_CASE("check 24: modules in eval mode equal the row model bit for bit, tied and untied, GQA and MHA") {
  for (const quant::Mode mode : kQuantizedModes) {
    for (const bool tied : {false, true}) {
      for (const std::int64_t kv_heads : {2, 4}) {
        config::Model config = small_model();
        config.tie_word_embeddings = tied;
        config.num_key_value_heads = kv_heads;
        nn::BitNetForCausalLM model = build(config, mode);
        nn::RowModel rows(model, model->slots(), "test");
        const at::Tensor ids = random_ids(1, 21, 61);
        model->eval();
        const at::Tensor logits = model->forward(ids)[0];  // gradients on: eval mode alone makes it exact
        CHECK(same_bits(feed(rows, ids[0], 21), logits.detach()));
        const at::NoGradGuard no_grad;
        CHECK(same_bits(model->forward(ids)[0], logits.detach()));
      }
    }
  }
}

TEST_CASE("check 23: prefill of n tokens equals n decode steps bit for bit, across the chunk border at 256") {
  for (const quant::Mode mode : kQuantizedModes) {
    nn::BitNetForCausalLM model = build(small_model(), mode);
    nn::RowModel rows(model, model->slots(), "test");
    const at::Tensor ids = random_ids(1, 260, 61)[0];
    const at::Tensor prefill = feed(rows, ids, 260);
    CHECK(same_bits(feed(rows, ids, 1), prefill));
    CHECK(same_bits(feed(rows, ids, 77), prefill));
  }
}

TEST_CASE(
    "check 21, check 39: sequences in one call do not see each other; batched equals single bit for bit") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a4_8);
  nn::RowModel rows(model, model->slots(), "test");
  const at::Tensor a = random_ids(1, 9, 61, 5)[0], b = random_ids(1, 5, 61, 6)[0];
  const at::Tensor alone_a = feed(rows, a, 9), alone_b = feed(rows, b, 5);
  rows.start(2);
  std::vector<runtime::TokenInput> tokens;
  for (std::int64_t t = 0; t < 9; ++t) {  // interleaved, and only the last of each is wanted
    tokens.push_back({1, static_cast<std::int32_t>(a[t].item<std::int64_t>()), t == 8});
    if (t < 5) tokens.push_back({0, static_cast<std::int32_t>(b[t].item<std::int64_t>()), t == 4});
  }
  const Rows<const float> logits = rows.feed(tokens);
  REQUIRE(logits.rows == 2);
  CHECK(same_bits(torch::from_blob(const_cast<float*>(logits.row(0)), {61}), alone_b[4]));
  CHECK(same_bits(torch::from_blob(const_cast<float*>(logits.row(1)), {61}), alone_a[8]));
}

TEST_CASE(
    "check 39: generate repeats for a seed, is argmax at temperature 0, and batched with padding equals "
    "single") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a4_8);
  const at::Tensor ids = random_ids(2, 6, 61);
  at::Tensor mask = torch::ones({2, 6}, torch::kLong);
  mask[1].narrow(0, 0, 2).fill_(0);
  nn::GenerateOptions greedy{.max_new_tokens = 8, .sampler = {.temperature = 0.0}, .seed = 4};
  const auto both = model->generate(ids, mask, greedy);
  CHECK(model->generate(ids.narrow(0, 0, 1), {}, greedy)[0] == both[0]);
  CHECK(model->generate(ids[1].narrow(0, 2, 4).unsqueeze(0), {}, greedy)[0] == both[1]);
  const at::NoGradGuard no_grad;
  CHECK(both[0][0] == model->forward(ids)[0][5].argmax().item<std::int64_t>());
  nn::GenerateOptions random{.max_new_tokens = 8, .sampler = {.temperature = 1.0}, .seed = 4};
  CHECK(model->generate(ids, mask, random) == model->generate(ids, mask, random));
}

TEST_CASE("the row model quantizes in its own mode and leaves the model as it was") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a8);
  nn::RowModel a4_8(model, quant::row_of(quant::Mode::a4_8).slots, "test");
  CHECK(a4_8.info().mode == "a4.8");
  const at::Tensor ids = random_ids(1, 9, 61);
  const at::Tensor logits = feed(a4_8, ids[0], 9);
  CHECK(model->slots() == quant::row_of(quant::Mode::a8).slots);
  const at::NoGradGuard no_grad;
  CHECK(!same_bits(model->forward(ids)[0], logits));
  model->set_slots(quant::row_of(quant::Mode::a4_8).slots);
  CHECK(same_bits(model->forward(ids)[0], logits));
}

TEST_CASE("check 7: a damaged weight is an error naming layer, linear and position") {
  for (const quant::Mode mode : {quant::Mode::none, quant::Mode::a8}) {
    nn::BitNetForCausalLM model = build(small_model(), mode);
    {
      const at::NoGradGuard no_grad;
      auto* block = model->model->layers[1]->as<nn::BitNetBlock>();
      block->input_layernorm->weight[3] = NAN;
    }
    nn::RowModel rows(model, model->slots(), "step-100");
    rows.start(1);
    const std::vector<runtime::TokenInput> tokens{{0, 5, true}, {0, 6, true}};
    if (mode == quant::Mode::none) {
      CHECK_ERROR(rows.feed(tokens), ErrorKind::not_finite, "step-100", "lm_head", "sequence 0, position 0");
    } else {
      CHECK_ERROR(rows.feed(tokens), ErrorKind::not_finite, "model.layers.1.self_attn.q_proj input",
                  "sequence 0, position 0");
    }
    CHECK(!ops::first_non_finite());  // the training run's record is untouched
  }
}

TEST_CASE("ids and positions out of range are errors") {
  config::Model config = small_model();
  config.max_position_embeddings = 4;
  nn::BitNetForCausalLM model = build(config, quant::Mode::a8);
  nn::RowModel rows(model, model->slots(), "test");
  rows.start(1);
  CHECK_ERROR(rows.feed(std::vector<runtime::TokenInput>{{0, 61, true}}), ErrorKind::bad_input, "61",
              "0 to 60");
  CHECK_ERROR(rows.feed(std::vector<runtime::TokenInput>(5, {0, 7, true})), ErrorKind::bad_input,
              "context of 4");
  CHECK(rows.feed(std::vector<runtime::TokenInput>(4, {0, 7, true})).rows == 4);
}

TEST_CASE("check 38: the sparsity report equals counts from dumped codes") {
  config::Model config = small_model();
  config.num_hidden_layers = 1;
  nn::BitNetForCausalLM model = build(config, quant::Mode::a4_8);
  nn::RowModel rows(model, model->slots(), "test");
  CHECK(!rows.sparsity().measured);
  const at::Tensor ids = random_ids(1, 30, 61);
  feed(rows, ids[0], 30);

  const at::NoGradGuard no_grad;
  auto* block = model->model->layers[0]->as<nn::BitNetBlock>();
  const auto zeros = [](const at::Tensor& x, quant::Scheme scheme) {
    return ops::encode(x, scheme).codes.eq(0).to(torch::kDouble).mean().item<double>();
  };
  const at::Tensor x = model->model->embed_tokens(ids[0]), n1 = block->input_layernorm(x);
  const at::Tensor after = x + block->self_attn(n1.unsqueeze(0)).squeeze(0);
  const at::Tensor n3 = block->post_attention_layernorm(after);
  const auto gate_up = nn::shared_input(n3, {block->mlp->gate_proj, block->mlp->up_proj});
  const at::Tensor f = block->mlp->ffn_sub_norm(gate_up[0].clamp_min(0).square() * gate_up[1]);
  const runtime::Sparsity report = rows.sparsity();
  CHECK(report.measured);
  CHECK(report.qkv == zeros(n1, quant::Scheme::int4));
  CHECK(report.gate == zeros(n3, quant::Scheme::int4));
  auto& attention = block->self_attn;
  const auto qkv = nn::shared_input(n1, {attention->q_proj, attention->k_proj, attention->v_proj});
  const at::Tensor position = torch::arange(30, torch::kInt);
  const std::int64_t heads = config.num_attention_heads, head_dim = config.head_dim();
  const ops::RopeTables tables =
      ops::rope_tables(config.max_position_embeddings, head_dim, config.rope_theta);
  const at::Tensor o = attention->attn_sub_norm(ops::exact_attention(
      ops::rope(qkv[0], position, heads, tables), ops::rope(qkv[1], position, heads, tables), qkv[2],
      {heads, heads, head_dim, {0, 30}}));
  const double out = zeros(ops::topk(o, 0.5).first, quant::Scheme::int8),
               down = zeros(f, quant::Scheme::int8);
  CHECK(out >= 0.5);  // TopK keeps 24 of 48
  CHECK(report.out == out);
  CHECK(report.down == down);
  const double closed = gate_up[0].le(0).to(torch::kDouble).mean().item<double>();
  CHECK(report.gate_output == closed);
  CHECK(report.up == 1.0 - (1.0 - report.gate) * (1.0 - closed));

  const double h = 48.0, g = 100.0, qkv_zeros = zeros(n1, quant::Scheme::int4),
               gate = zeros(n3, quant::Scheme::int4), up = 1.0 - (1.0 - gate) * (1.0 - closed);
  const double weights = 4.0 * h * h + 3.0 * h * g;
  const double overall = (3.0 * h * h * qkv_zeros + h * h * out + h * g * (up + gate + down)) / weights;
  CHECK(report.overall == Approx(overall).epsilon(chain_tolerance(1, 1.0)));
  CHECK(report.active_parameters == Approx(weights * (1.0 - overall)).epsilon(chain_tolerance(1, 1.0)));
  rows.reset_sparsity();
  CHECK(!rows.sparsity().measured);
}

TEST_CASE("check 25: sdpa and gemm change the mean loss by at most 1e-3 over 10^4 tokens") {
  constexpr double kSpecified = 1e-3;
  config::Model config = small_model();
  for (const quant::Mode mode : {quant::Mode::none, quant::Mode::a4_8}) {
    nn::BitNetForCausalLM model = build(config, mode);
    const at::Tensor ids = random_ids(40, 257, 61);
    const double trained = model->loss_sum(ids).item<double>() / (40.0 * 256.0);
    const at::NoGradGuard no_grad;
    CHECK(std::abs(trained - model->loss_sum(ids).item<double>() / (40.0 * 256.0)) < kSpecified);
  }
}

}  // namespace a48::test
