// Train = serve: the packed runtime gives the bits of the trainer's evaluation, for every packed mode, tied
// and untied, grouped heads and not; with a bf16 head, those of the model whose embedding and head are so
// rounded.
#include <map>
#include <string>

#include "core/runtime/decoder.h"
#include "core/runtime/pack_model.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"

namespace a48::test {
namespace {

std::vector<runtime::TokenInput> inputs(const at::Tensor& ids, std::int64_t begin, std::int64_t end) {
  std::vector<runtime::TokenInput> tokens;
  for (std::int64_t t = begin; t < end; ++t)
    tokens.push_back({0, static_cast<std::int32_t>(ids[t].item<std::int64_t>()), true});
  return tokens;
}

/// Logits [T, V]: half of the tokens together, the rest one by one.
at::Tensor logits_of(runtime::LanguageModel& model, const at::Tensor& ids) {
  model.start(1);
  const std::int64_t length = ids.size(0), together = length / 2;
  std::vector<at::Tensor> parts;
  const auto take = [&](Rows<const float> rows) {
    parts.push_back(torch::from_blob(const_cast<float*>(rows.data), {rows.rows, rows.cols}).clone());
  };
  take(model.feed(inputs(ids, 0, together)));
  for (std::int64_t t = together; t < length; ++t) take(model.feed(inputs(ids, t, t + 1)));
  return torch::cat(parts);
}

Buffer<std::byte> packed(const nn::BitNetForCausalLM& model, quant::Mode mode, kernels::HeadClass head) {
  runtime::PackRequest request;
  request.model = model->config();
  request.slots = quant::row_of(mode).slots;
  request.mode = quant::row_of(mode).name;
  request.head = head;
  std::map<std::string, at::Tensor> parameters;
  for (const auto& parameter : model->named_parameters())
    parameters[parameter.key()] = parameter.value().detach();
  return runtime::pack_model(request, [&](const std::string& name) -> Rows<const float> {
    const at::Tensor& value = parameters.at(name);
    return {value.data_ptr<float>(), value.dim() == 2 ? value.size(0) : 1, value.size(-1)};
  });
}

bool parity(nn::BitNetForCausalLM& model, quant::Mode mode, kernels::HeadClass head) {
  const at::Tensor ids = random_ids(1, 34, 61)[0];
  const Buffer<std::byte> bytes = packed(model, mode, head);
  if (head == kernels::HeadClass::bf16) {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& weight : {model->model->embed_tokens->weight, model->head_weight()})
      weight.copy_(weight.to(torch::kBFloat16));
  }
  nn::RowModel rows(model, quant::row_of(mode).slots, "trainer");
  runtime::Decoder decoder(runtime::PackedModel::of_bytes(bytes.span(), "packed", runtime::Verify::full));
  return same_bits(logits_of(decoder, ids), logits_of(rows, ids));
}

}  // namespace

TEST_CASE("check 24: the packed runtime equals training modules in eval mode bit for bit") {
  for (const quant::Mode mode : kQuantizedModes) {
    for (const bool tied : {false, true}) {
      for (const std::int64_t kv_heads : {2, 4}) {
        for (const kernels::HeadClass head : {kernels::HeadClass::f32, kernels::HeadClass::bf16}) {
          INFO(quant::row_of(mode).name << ", tied " << tied << ", kv_heads " << kv_heads << ", head "
                                        << runtime::head_class_name(head));
          config::Model config = small_model();
          config.tie_word_embeddings = tied;
          config.num_key_value_heads = kv_heads;
          nn::BitNetForCausalLM model = build(config, mode);
          CHECK(parity(model, mode, head));
        }
      }
    }
  }
}

TEST_CASE("check 24: so do a silu gate, a model without sub-norms and odd sizes") {
  for (int variant = 0; variant < 3; ++variant) {
    INFO("variant " << variant);
    config::Model config = small_model();
    if (variant == 0) config.hidden_act = config::Activation::silu;
    if (variant == 1) config.sub_norm = false;
    if (variant == 2) {
      config.hidden_size = 34 * 3;  // heads of 34
      config.num_attention_heads = 3;
      config.intermediate_size = 271;
      config.vocab_size = 61;
    }
    nn::BitNetForCausalLM model = build(config, quant::Mode::a4_8);
    CHECK(parity(model, quant::Mode::a4_8, kernels::HeadClass::f32));
  }
}

}  // namespace a48::test
