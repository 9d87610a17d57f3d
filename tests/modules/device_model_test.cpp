// The network on a device, which here is the CUDA kernels' sources on the CPU: loss and gradients of the
// CPU's, bf16 activations, evaluation with cached keys, and codes that are never stale.
#include "modules/causal_lm.h"
#include "modules/telemetry.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"
#include "tests/support/device_on_host.h"

namespace a48::test {
namespace {

// Forward bits are the CPU's up to attention and logits, which are LibTorch's products here; what is left are
// roundings of fp32 sums along the depth (numerics.md 4, as checks 13 and 14).
constexpr double kSpecified = 1e-5;

struct Pass {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;
};

Pass pass_of(nn::BitNetForCausalLM& model, const at::Tensor& ids) {
  for (at::Tensor parameter : model->parameters()) parameter.mutable_grad() = at::Tensor();
  const at::Tensor loss = model->loss_sum(ids);
  loss.backward();
  Pass pass{loss.detach(), {}};
  for (const at::Tensor& parameter : model->parameters()) pass.gradients.push_back(parameter.grad().clone());
  return pass;
}

config::Model model_of(std::int64_t kv_heads, bool tied, config::Activation act) {
  config::Model config = small_model();
  config.num_key_value_heads = kv_heads;
  config.tie_word_embeddings = tied;
  config.hidden_act = act;
  return config;
}

}  // namespace

TEST_CASE("a training pass on a device gives the CPU's loss and gradients in every mode") {
  const at::Tensor ids = random_ids(2, 12, 61);
  for (const quant::Mode mode :
       {quant::Mode::none, quant::Mode::a16, quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4}) {
    INFO(quant::row_of(mode).name);
    const bool odd = mode == quant::Mode::a4_8;
    nn::BitNetForCausalLM model =
        build(model_of(odd ? 2 : 4, odd, odd ? config::Activation::silu : config::Activation::relu2), mode);
    const Pass wanted = pass_of(model, ids);
    const DeviceOnHost device;
    const Pass found = pass_of(model, ids);  // the codes of the CPU do not fit here: they are made again
    CHECK(relative_error(found.loss, wanted.loss) < kSpecified);
    for (std::size_t i = 0; i < wanted.gradients.size(); ++i) {
      INFO("parameter " << i);
      CHECK(found.gradients[i].scalar_type() == torch::kFloat);
      CHECK(relative_error(found.gradients[i], wanted.gradients[i]) < kSpecified);
    }
  }
}

TEST_CASE("bf16 activations: loss near that of fp32, gradients and masters fp32") {
  // A rounding moves single codes (E9), so only the mean loss is compared: the two differ by roundings of
  // 2^-8 per block that mostly cancel.
  constexpr double kMeanLoss = 0.02;
  const at::Tensor ids = random_ids(2, 12, 61);
  for (const quant::Mode mode :
       {quant::Mode::none, quant::Mode::a16, quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4}) {
    INFO(quant::row_of(mode).name);
    nn::BitNetForCausalLM model = build(small_model(), mode);
    const Pass wanted = pass_of(model, ids);
    const DeviceOnHost device;
    model->model->set_compute(torch::kBFloat16);
    model->set_backward(ops::BackwardDtype::bf16);
    const Pass found = pass_of(model, ids);
    CHECK(found.loss.scalar_type() == torch::kFloat);
    CHECK(relative_error(found.loss, wanted.loss) < kMeanLoss);
    for (const at::Tensor& gradient : found.gradients) {
      CHECK(gradient.scalar_type() == torch::kFloat);
      CHECK(gradient.isfinite().all().item<bool>());
      CHECK(gradient.abs().max().item<float>() > 0.0f);
    }
  }
}

TEST_CASE(
    "S13: codes on a device are never stale: written in place, by an optimizer, by a load, by pointer") {
  const DeviceOnHost device;
  nn::BitLinear layer(20, 10);
  {
    const at::NoGradGuard no_grad;
    layer->weight.copy_(normal({10, 20}, 1));
  }
  const at::Tensor x = normal({3, 20}, 2);
  layer->set_slot({quant::Scheme::int8, 1.0, true});
  const auto cached_equals_fresh = [&] {
    const at::NoGradGuard no_grad;
    const at::Tensor cached = layer(x);
    const ops::TernaryWeight fresh = ops::ternarize(layer->weight);
    CHECK(torch::equal(layer->ternary().codes, fresh.codes));
    CHECK(layer->ternary().device_alpha.item<float>() == fresh.device_alpha.item<float>());
    layer->weights_changed();
    CHECK(same_bits(layer(x), cached));
    return cached;
  };
  std::vector<at::Tensor> seen{cached_equals_fresh()};
  const void* codes = layer->ternary().codes.data_ptr();
  layer(x);
  CHECK(layer->ternary().codes.data_ptr() == codes);  // made once
  const auto changed = [&] {
    seen.push_back(cached_equals_fresh());
    CHECK(!same_bits(seen.back(), seen[seen.size() - 2]));
  };
  {
    const at::NoGradGuard no_grad;
    layer->weight.neg_();
  }
  changed();
  torch::optim::AdamW optimizer({layer->weight}, torch::optim::AdamWOptions(0.5));
  layer(x).sum().backward();
  optimizer.step();
  changed();
  {
    const at::NoGradGuard no_grad;
    layer->weight.copy_(normal({10, 20}, 3));  // as a checkpoint is loaded
  }
  changed();
  layer->weight.data_ptr<float>()[0] = 1e6f;
  layer->weights_changed();
  changed();
}

TEST_CASE("check 21, check 23: evaluation on a device, whole, in parts and batched, is that of the CPU") {
  nn::BitNetForCausalLM model = build(model_of(2, false, config::Activation::relu2), quant::Mode::a8);
  const at::Tensor ids = random_ids(1, 17, 61)[0], other = random_ids(1, 5, 61, 6)[0];
  const at::Tensor wanted = [&] {
    nn::RowModel rows(model, model->slots(), "test");
    return feed(rows, ids, 17);
  }();
  const DeviceOnHost device;
  nn::RowModel rows(model, model->slots(), "test");
  CHECK(relative_error(feed(rows, ids, 17), wanted) < kSpecified);
  CHECK(relative_error(feed(rows, ids, 5), wanted) < kSpecified);
  CHECK(relative_error(feed(rows, ids, 1), wanted) < kSpecified);
  rows.start(2);
  std::vector<runtime::TokenInput> tokens;
  for (std::int64_t t = 0; t < 17; ++t) {  // interleaved with another sequence
    if (t < 5) tokens.push_back({0, static_cast<std::int32_t>(other[t].item<std::int64_t>()), false});
    tokens.push_back({1, static_cast<std::int32_t>(ids[t].item<std::int64_t>()), t == 16});
  }
  const Rows<const float> logits = rows.feed(tokens);
  REQUIRE(logits.rows == 1);
  CHECK(relative_error(torch::from_blob(const_cast<float*>(logits.row(0)), {61}), wanted[16]) < kSpecified);
}

TEST_CASE(
    "P6: one quantize kernel and one product for q, k, v and for gate, up: four a layer; each matrix "
    "ternarized once a step") {
  for (const ops::CodeProduct product : {ops::CodeProduct::int_mm, ops::CodeProduct::own_kernel}) {
    for (const bool recompute : {false, true}) {
      nn::BitNetForCausalLM model = build(model_of(2, false, config::Activation::relu2), quant::Mode::a4_8);
      model->model->set_recompute_glu(recompute);
      const int layers = static_cast<int>(model->config().num_hidden_layers), passes = 2;
      const DeviceOnHost device(product);
      for (int micro_batch = 0; micro_batch < passes; ++micro_batch)
        model->loss_sum(random_ids(1, 33, 61)).backward();  // gate and up again in backward: one more
      CHECK(launches.quantize == passes * 4 * layers);
      CHECK(launches.gemm + launches.scale == passes * (recompute ? 5 : 4) * layers);
      CHECK((product == ops::CodeProduct::int_mm ? launches.gemm : launches.scale) == 0);
      CHECK(launches.ternarize == 7 * layers);
    }
  }
}

TEST_CASE("codes that were made alone are made again together, with the same values") {
  nn::BitNetForCausalLM model = build(small_model(), quant::Mode::a4_8);
  const at::Tensor ids = random_ids(1, 33, 61);
  const at::NoGradGuard no_grad;
  const DeviceOnHost device;
  const at::Tensor wanted = model->loss_sum(ids);
  model->weights_changed();
  model->ternary_matrices();
  CHECK(same_bits(model->loss_sum(ids), wanted));
}

TEST_CASE("check 17: what a device keeps of linear inputs: half a byte or a byte a value, a step a row") {
  const DeviceOnHost device;
  config::Model config = small_model();
  config.hidden_size = 64;  // rows of whole 64 bytes: nothing is padding
  config.intermediate_size = 128;
  nn::BitNetForCausalLM model = build(config, quant::Mode::a4_8);
  model->model->set_compute(torch::kBFloat16);
  const nn::SavedBytesReport saved = nn::measure_saved_bytes(model, random_ids(2, 9, 61));
  const std::int64_t rows = 16, h = 64, g = 128;
  CHECK(saved.linear_inputs == config.num_hidden_layers * rows * (2 * h + g + 4 * 4));
  CHECK(saved.by_name.at("attention") == config.num_hidden_layers * rows * 4 * h * 2);  // q, k, v and y alone
  model->model->set_recompute_glu(true);
  const nn::SavedBytesReport less = nn::measure_saved_bytes(model, random_ids(2, 9, 61));
  CHECK(saved.activations - less.activations ==
        config.num_hidden_layers * rows * 2 * g * 2);  // gate, up in bf16
}

}  // namespace a48::test
