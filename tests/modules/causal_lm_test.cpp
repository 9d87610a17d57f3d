// The network as a whole: causality, masks, grouped heads, tied head, losses, names.
#include "modules/causal_lm.h"

#include <set>

#include "core/ops/threads.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"

namespace a48::test {
namespace {

const bool pool_shared = (ops::use_torch_threads(), true);

constexpr double kGemmTolerance = 1e-5;  // mode none: LibTorch's products depend on the batch (numerics E3)

}  // namespace

TEST_CASE(
    "check 21: a later token or another sequence changes no bit of an earlier logit; token order matters") {
  REQUIRE(pool_shared);
  const at::NoGradGuard no_grad;
  for (const quant::Mode mode : kQuantizedModes) {
    nn::BitNetForCausalLM model = build(small_model(), mode);
    const at::Tensor ids = random_ids(2, 20, 61);
    const at::Tensor logits = model->forward(ids);
    at::Tensor changed = ids.clone();
    changed[0][12] = (ids[0][12].item<std::int64_t>() + 1) % 61;
    changed[1].fill_(5);
    const at::Tensor other = model->forward(changed);
    CHECK(same_bits(other[0].narrow(0, 0, 12), logits[0].narrow(0, 0, 12)));
    CHECK(!same_bits(other[0][12], logits[0][12]));
    CHECK(same_bits(model->forward(ids.narrow(0, 0, 1).narrow(1, 0, 7))[0], logits[0].narrow(0, 0, 7)));

    at::Tensor swapped = ids.clone();
    swapped[0][3] = ids[0][4];
    swapped[0][4] = ids[0][3];
    CHECK(!same_bits(model->forward(swapped)[0][19], logits[0][19]));
  }
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::none);
  const at::Tensor ids = random_ids(2, 20, 61);
  const at::Tensor logits = model->forward(ids)[0], whole = logits.narrow(0, 0, 7);
  CHECK(relative_error(model->forward(ids.narrow(0, 0, 1).narrow(1, 0, 7))[0], whole) < kGemmTolerance);
  at::Tensor changed = ids.clone();
  changed[0][12] = (ids[0][12].item<std::int64_t>() + 1) % 61;
  const at::Tensor other = model->forward(changed)[0];
  CHECK(relative_error(other.narrow(0, 0, 12), logits.narrow(0, 0, 12)) < kGemmTolerance);
  CHECK(relative_error(other[12], logits[12]) > kGemmTolerance);
}

TEST_CASE(
    "check 22: an all-ones mask equals no mask; left and right padding agree bit for bit at real positions") {
  const at::NoGradGuard no_grad;
  for (const quant::Mode mode : kQuantizedModes) {
    nn::BitNetForCausalLM model = build(small_model(), mode);
    const at::Tensor ids = random_ids(2, 12, 61);
    const at::Tensor logits = model->forward(ids);
    CHECK(same_bits(model->forward(ids, torch::ones({2, 12})), logits));

    at::Tensor left = torch::zeros({2, 12}, torch::kLong), right = left.clone();
    at::Tensor left_mask = left.clone(), right_mask = left.clone();
    left.narrow(1, 5, 7).copy_(ids.narrow(1, 0, 7));
    left_mask.narrow(1, 5, 7).fill_(1);
    right.narrow(1, 0, 7).copy_(ids.narrow(1, 0, 7));
    right_mask.narrow(1, 0, 7).fill_(1);
    const at::Tensor from_left = model->forward(left, left_mask),
                     from_right = model->forward(right, right_mask.to(torch::kBool));
    CHECK(same_bits(from_left.narrow(1, 5, 7), logits.narrow(1, 0, 7)));
    CHECK(same_bits(from_right.narrow(1, 0, 7), logits.narrow(1, 0, 7)));
    CHECK(from_left.narrow(1, 0, 5).eq(0).all().item<bool>());
  }
}

TEST_CASE("check 22: wrong masks and ids are refused with what is allowed") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a8);
  const at::Tensor ids = random_ids(2, 6, 61);
  CHECK_ERROR(model->forward(ids, torch::ones({2, 5})), ErrorKind::config, "[2, 5]", "[2, 6]");
  CHECK_ERROR(model->forward(ids, torch::ones({2, 1, 6, 6})), ErrorKind::config, "mask", "[2, 6]");
  CHECK_ERROR(model->forward(ids, torch::full({2, 6}, -1e9)), ErrorKind::config, "0 and 1");
  CHECK_ERROR(model->forward(ids + 61), ErrorKind::bad_input, "0 to 60");
  CHECK_ERROR(model->forward(ids.to(torch::kInt)), ErrorKind::config, "int64");
  CHECK_ERROR(model->forward(torch::ones({1, 601}, torch::kLong)), ErrorKind::config, "601", "600");
  model->loss_sum(torch::ones({1, 601}, torch::kLong));  // 600 inputs
  at::Tensor bad = ids.clone();
  bad[1][5] = 61;  // a label only
  CHECK_ERROR(model->loss_sum(bad), ErrorKind::bad_input, "61", "0 to 60");
}

TEST_CASE("check 22: with gradients, a padded batch has the loss and gradients of its sequences alone") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a8);
  const at::Tensor ids = random_ids(2, 8, 61), labels = random_ids(2, 8, 61, 2);
  at::Tensor mask = torch::ones({2, 8}, torch::kLong);
  mask[1].narrow(0, 0, 3).fill_(0);  // left padding of the second
  const at::Tensor loss = model->loss(ids, labels, mask);
  loss.backward();
  const at::Tensor gradient = model->model->embed_tokens->weight.grad().clone();
  model->zero_grad();
  const at::Tensor first = model->loss(ids.narrow(0, 0, 1), labels.narrow(0, 0, 1)) * 8;
  const at::Tensor second =
      model->loss(ids[1].narrow(0, 3, 5).unsqueeze(0), labels[1].narrow(0, 3, 5).unsqueeze(0)) * 5;
  const at::Tensor alone = (first + second) / 13;
  alone.backward();
  CHECK(relative_error(loss, alone) < kGemmTolerance);
  CHECK(relative_error(gradient, model->model->embed_tokens->weight.grad()) < kGemmTolerance);
}

TEST_CASE(
    "check 20: as many key/value heads as heads equal plain attention; repeated ones equal the grouped "
    "model") {
  const at::NoGradGuard no_grad;
  for (const quant::Mode mode : {quant::Mode::none, quant::Mode::a8}) {
    config::Model plain = small_model(), same = small_model(), grouped = small_model();
    plain.num_key_value_heads = 0;
    same.num_key_value_heads = 4;
    grouped.num_key_value_heads = 2;
    const at::Tensor ids = random_ids(2, 10, 61);
    CHECK(same_bits(build(plain, mode)->forward(ids), build(same, mode)->forward(ids)));

    nn::BitNetForCausalLM small = build(grouped, mode), wide = build(same, mode);
    const auto from = small->named_parameters();
    for (auto& item : wide->named_parameters()) {
      const at::Tensor& value = from[item.key()];
      if (value.sizes() == item.value().sizes()) {
        item.value().copy_(value);
      } else {  // k_proj, v_proj: each head of 12 rows twice
        item.value().copy_(value.view({2, 12, 48}).repeat_interleave(2, 0).reshape({48, 48}));
      }
    }
    CHECK(relative_error(wide->forward(ids), small->forward(ids)) < kGemmTolerance);
  }
}

TEST_CASE("loss_sum is the sum of token losses of the logits, and the mean loss leaves -100 out") {
  for (const quant::Mode mode : {quant::Mode::none, quant::Mode::a4_8}) {
    nn::BitNetForCausalLM model = build(small_model(), mode);
    model->set_implementations(config::AttentionImpl::exact, config::HeadImpl::exact);
    const at::Tensor ids = random_ids(3, 9, 61);
    const at::Tensor inputs = ids.narrow(1, 0, 8), labels = ids.narrow(1, 1, 8).contiguous();
    const at::Tensor log_p = model->forward(inputs).to(torch::kDouble).log_softmax(-1);
    const at::Tensor token_loss = -log_p.gather(2, labels.unsqueeze(2)).squeeze(2);
    CHECK(relative_error(model->loss_sum(ids), token_loss.sum()) < kGemmTolerance);
    model->set_implementations(config::AttentionImpl::exact, config::HeadImpl::gemm);
    CHECK(relative_error(model->loss_sum(ids), token_loss.sum()) < kGemmTolerance);
    at::Tensor some = labels.clone();
    some.narrow(1, 0, 5).fill_(-100);
    CHECK(relative_error(model->loss(inputs, some), token_loss.narrow(1, 5, 3).mean()) < kGemmTolerance);
    CHECK_ERROR(model->loss(inputs, torch::full_like(labels, -100)), ErrorKind::config, "-100");
  }
}

TEST_CASE("check 36: a tied head shares storage and accumulates one gradient") {
  config::Model config = small_model();
  config.tie_word_embeddings = true;
  nn::BitNetForCausalLM tied = build(config, quant::Mode::none);
  CHECK(tied->head_weight().data_ptr() == tied->model->embed_tokens->weight.data_ptr());
  CHECK(!tied->named_parameters().contains("lm_head.weight"));

  config.tie_word_embeddings = false;
  nn::BitNetForCausalLM untied = build(config, quant::Mode::none);
  {
    const at::NoGradGuard no_grad;
    untied->lm_head->weight.copy_(untied->model->embed_tokens->weight);
  }
  const at::Tensor ids = random_ids(2, 9, 61);
  tied->loss_sum(ids).backward();
  untied->loss_sum(ids).backward();
  const at::Tensor sum = untied->model->embed_tokens->weight.grad() + untied->lm_head->weight.grad();
  CHECK(relative_error(tied->model->embed_tokens->weight.grad(), sum) < kGemmTolerance);
}

TEST_CASE("parameters have the names and shapes of the Hugging Face layout, each once") {
  config::Model config = small_model();
  config.num_key_value_heads = 2;
  nn::BitNetForCausalLM model = build(config, quant::Mode::a8);
  std::map<std::string, std::vector<std::int64_t>> found;
  for (const auto& item : model->named_parameters()) found[item.key()] = item.value().sizes().vec();
  std::map<std::string, std::vector<std::int64_t>> wanted{
      {"model.embed_tokens.weight", {61, 48}}, {"model.norm.weight", {48}}, {"lm_head.weight", {61, 48}}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    wanted[layer + "input_layernorm.weight"] = {48};
    wanted[layer + "post_attention_layernorm.weight"] = {48};
    wanted[layer + "self_attn.q_proj.weight"] = {48, 48};
    wanted[layer + "self_attn.k_proj.weight"] = {24, 48};
    wanted[layer + "self_attn.v_proj.weight"] = {24, 48};
    wanted[layer + "self_attn.attn_sub_norm.weight"] = {48};
    wanted[layer + "self_attn.o_proj.weight"] = {48, 48};
    wanted[layer + "mlp.gate_proj.weight"] = {100, 48};
    wanted[layer + "mlp.up_proj.weight"] = {100, 48};
    wanted[layer + "mlp.ffn_sub_norm.weight"] = {100};
    wanted[layer + "mlp.down_proj.weight"] = {48, 100};
  }
  CHECK(found == wanted);
  config.sub_norm = false;
  CHECK(build(config, quant::Mode::none)->named_parameters().size() == wanted.size() - 4);
  CHECK(model->ternary_matrices().size() == 14);
}

TEST_CASE("initial weights depend on seed, name and index alone, with the configured deviation") {
  config::Model config = small_model();
  config.hidden_size = 128;
  config.scaled_init = false;
  nn::BitNetForCausalLM one = build(config, quant::Mode::a8, 1), again = build(config, quant::Mode::a4_8, 1),
                        other = build(config, quant::Mode::a8, 2);
  CHECK(same_bits(one->lm_head->weight.detach(), again->lm_head->weight.detach()));
  CHECK(!same_bits(one->lm_head->weight.detach(), other->lm_head->weight.detach()));
  const at::Tensor weight = one->ternary_matrices()[0].weight.detach();
  // The standard error of the deviation of n normal numbers is σ/√(2n); five of them.
  const double error = 5.0 / std::sqrt(2.0 * static_cast<double>(weight.numel()));
  CHECK(weight.std().item<double>() == Approx(config.initializer_range).epsilon(error));
  CHECK(one->model->norm->weight.detach().eq(1).all().item<bool>());
  config.scaled_init = true;
  CHECK(build(config, quant::Mode::a8)->ternary_matrices()[0].weight.detach().std().item<double>() ==
        Approx(1.0 / std::sqrt(128.0)).epsilon(error));
}

TEST_CASE("the stage switch changes quantizers only, and evaluation can quantize otherwise than training") {
  const at::NoGradGuard no_grad;
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a8);
  const at::Tensor ids = random_ids(1, 9, 61), a8 = model->forward(ids);
  model->set_slots(quant::row_of(quant::Mode::a4_8).slots);
  CHECK(!same_bits(model->forward(ids), a8));
  model->set_slots(quant::row_of(quant::Mode::a8).slots);
  CHECK(same_bits(model->forward(ids), a8));
}

}  // namespace a48::test
