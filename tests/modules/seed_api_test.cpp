// The seed API (numerics.md 7): defaults, the demo's shapes, seed weights.
#include <fstream>

#include "core/format/safetensors.h"
#include "modules/memory.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/temp_dir.h"

namespace a48::test {
namespace {

/// A state of the seed's BitNetModel for 2 layers of width 8, feed-forward 12, with `.scale` on every matrix.
nn::StateDict seed_state(double scale) {
  nn::StateDict state{{"embed_tokens.weight", normal({20, 8}, 1)}, {"norm.weight", torch::ones({8})}};
  std::uint64_t stream = 2;
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    state[layer + "input_layernorm.weight"] = torch::ones({8});
    state[layer + "post_attention_layernorm.weight"] = torch::full({8}, 2.0f);
    const auto matrix = [&](const std::string& name, std::int64_t out, std::int64_t in) {
      state[layer + name + ".weight"] = normal({out, in}, stream++);
      state[layer + name + ".scale"] = torch::full({1}, scale);
    };
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
      matrix(std::string("attention.") + name, 8, 8);
    matrix("mlp.up_proj", 12, 8);
    matrix("mlp.gate_proj", 12, 8);
    matrix("mlp.down_proj", 8, 12);
  }
  return state;
}

BitNetModel small_seed_model() { return create_model(8, 12, 2, 2, {.vocab_size = 20}); }

}  // namespace

TEST_CASE("check 36: create_model's defaults are the 7B preset, seen on the meta device") {
  const config::Model defaults = BitNetConfig().model();
  const config::Model preset = config::model_preset("7B");
  CHECK(defaults.hidden_size == preset.hidden_size);
  CHECK(defaults.intermediate_size == preset.intermediate_size);
  CHECK(defaults.num_hidden_layers == preset.num_hidden_layers);
  CHECK(defaults.num_attention_heads == preset.num_attention_heads);
  BitNetModel model = create_model(4096, 11008, 32, 32, {}, torch::kMeta);
  std::int64_t matrices = 0;
  for (const nn::BitLinear& linear : model->linears()) matrices += linear->weight.numel();
  CHECK(matrices == 6476005376);
  CHECK(matrices == config::non_embedding_parameters(preset));
  CHECK(model->embed_tokens->weight.sizes() == at::IntArrayRef({32000, 4096}));
  CHECK(BitNetConfig{.layer_norm_eps = 1e-6}.model().rms_norm_eps == 1e-6);
  CHECK(create_causal_lm(4096, 11008, 32, 32, {}, torch::kMeta)->head_weight().sizes() ==
        at::IntArrayRef({32000, 4096}));
}

TEST_CASE("check 36: a model that does not fit is refused with the GB needed and free") {
  // Four thousand layers of the 7B shape: 3.3 TB.
  CHECK_ERROR(create_model(4096, 11008, 4096, 32), ErrorKind::no_resources, "GB in fp32", "GB are free");
  CHECK(nn::free_memory_bytes() > 0);
}

TEST_CASE("check 36: the seed's demo shape gives [2, 512, 816], and logits from create_causal_lm") {
  const at::NoGradGuard no_grad;
  BitNetModel model = create_model(816, 2202, 6, 6, {.vocab_size = 100});
  CHECK(model->forward(random_ids(2, 512, 100)).sizes() == at::IntArrayRef({2, 512, 816}));
  CHECK(create_causal_lm(48, 100, 1, 6, {.vocab_size = 100})->forward(random_ids(2, 5, 100)).sizes() ==
        at::IntArrayRef({2, 5, 100}));
}

TEST_CASE("S12: invalid shapes are refused by name") {
  CHECK_ERROR(create_model(50, 100, 1, 4), ErrorKind::config, "hidden_size", "num_attention_heads");
  CHECK_ERROR(create_model(12, 100, 1, 4), ErrorKind::config, "even head size");
  CHECK_ERROR(create_model(48, 100, 1, 4, {.num_key_value_heads = 3}), ErrorKind::config,
              "num_key_value_heads");
  CHECK_ERROR(create_model(48, 0, 1, 4), ErrorKind::config, "intermediate_size");
}

TEST_CASE("check 36: a seed state loads with its names, scale folded, sub-norms 1") {
  BitNetModel model = small_seed_model();
  const nn::StateDict state = seed_state(-3.0);
  nn::load_seed_state(model, state);
  const auto parameters = model->named_parameters();
  CHECK(same_bits(parameters["layers.1.self_attn.k_proj.weight"].detach(),
                  state.at("layers.1.attention.k_proj.weight") * -3.0));
  CHECK(same_bits(parameters["layers.0.post_attention_layernorm.weight"].detach(), torch::full({8}, 2.0f)));
  CHECK(same_bits(parameters["layers.0.mlp.ffn_sub_norm.weight"].detach(), torch::ones({12})));
  // Folding is exact in codes: signs turn with the scale's, α grows with its size.
  const ops::TernaryWeight folded = model->linears()[0]->ternary(),
                           plain = ops::ternarize(state.at("layers.0.attention.q_proj.weight"));
  CHECK(torch::equal(folded.codes, -plain.codes));

  BitNetForCausalLM with_head = create_causal_lm(8, 12, 2, 2, {.vocab_size = 20});
  const at::Tensor head = with_head->lm_head->weight.detach().clone();
  nn::load_seed_state(with_head, state);
  CHECK(same_bits(with_head->lm_head->weight.detach(), head));
}

TEST_CASE("a state that does not fit the model is refused by name") {
  BitNetModel model = small_seed_model();
  nn::StateDict missing = seed_state(1.0), extra = seed_state(1.0), wrong = seed_state(1.0);
  missing.erase("layers.1.mlp.up_proj.weight");
  missing.erase("layers.1.mlp.up_proj.scale");
  extra["layers.2.input_layernorm.weight"] = torch::ones({8});
  wrong["norm.weight"] = torch::ones({9});
  CHECK_ERROR(nn::load_seed_state(model, missing), ErrorKind::bad_input,
              "layers.1.mlp.up_proj.weight is missing");
  CHECK_ERROR(nn::load_seed_state(model, extra), ErrorKind::bad_input, "layers.2.input_layernorm.weight");
  CHECK_ERROR(nn::load_seed_state(model, wrong), ErrorKind::bad_input, "norm.weight", "[9]", "[8]");
}

TEST_CASE(
    "check 36: seed states are read from safetensors and from a plain dict; others are refused with the "
    "conversion") {
  const TempDir folder;
  const nn::StateDict state = seed_state(2.0);
  std::vector<format::TensorSource> tensors;
  c10::Dict<std::string, at::Tensor> dict;
  for (const auto& [name, tensor] : state) {
    tensors.push_back({name, "F32", tensor.sizes().vec(), tensor.data_ptr()});
    dict.insert(name, tensor);
  }
  const std::string safetensors = (folder / "seed.safetensors").string(),
                    pickle = (folder / "seed.pt").string();
  format::write_safetensors(safetensors, tensors);
  const std::vector<char> bytes = torch::pickle_save(dict);
  std::ofstream(pickle, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  for (const std::string& path : {safetensors, pickle}) {
    const nn::StateDict read = nn::read_state(path);
    CHECK(read.size() == state.size());
    for (const auto& [name, tensor] : state) CHECK(same_bits(read.at(name), tensor));
  }
  std::ofstream((folder / "other.pt").string()) << "no pickle";
  CHECK_ERROR(nn::read_state((folder / "other.pt").string()), ErrorKind::bad_input, "OrderedDict",
              "torch.save(dict(torch.load(");
}

}  // namespace a48::test
