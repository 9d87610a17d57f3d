// config.json of a packed file, both ways, and the sections that it implies. Ranges of the model's numbers
// and rules between them are those of a run's configuration: core/config/load.h.
#include "core/runtime/packed_contents.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/check.h"
#include "core/config/load.h"

namespace a48::runtime {
namespace {

using config::Activation;
using config::Model;

/// Members of config.json that are spelled as in a run's configuration.
constexpr std::array kModelKeys{
    "vocab_size",          "hidden_size",         "intermediate_size", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "hidden_act",        "max_position_embeddings",
    "rms_norm_eps",        "rope_theta",          "initializer_range", "tie_word_embeddings",
    "bos_token_id",        "eos_token_id"};
constexpr std::array kSlotKeys{"weights", "qkv", "o", "gate_up", "down", "topk_keep_o"};

const char* scheme_name(quant::Scheme scheme) { return quant::row_of(scheme).name; }

const Json& member(const Json& object, const char* key, const std::string& where) {
  const Json* const value = object.find(key);
  A48_CHECK(value != nullptr, ErrorKind::bad_input, where, key, ": missing");
  return *value;
}

std::int64_t integer(const Json& object, const char* key, std::int64_t low, std::int64_t high) {
  const Json& value = member(object, key, "a48.");
  A48_CHECK(value.is_integer() && value.as_int() >= low && value.as_int() <= high, ErrorKind::bad_input,
            "a48.", key, ": ", value.dump(), "; allowed are integers from ", low, " to ", high);
  return value.as_int();
}

std::string text(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key, where);
  A48_CHECK(value.is_string(), ErrorKind::bad_input, where, key, ": ", value.dump(), "; expected a string");
  return value.as_string();
}

CacheFormat cache_of(const Json& a48) {
  const CacheFormat cache{.kv_bits = static_cast<int>(integer(a48, "kv_bits", 1, 64)),
                          .bos_bits = static_cast<int>(integer(a48, "bos_bits", 1, 64)),
                          .q_bits = static_cast<int>(integer(a48, "q_bits", 1, 64))};
  check_cache_format(cache);
  return cache;
}

/// The rules of a run's configuration, on a run that holds this model and these slots.
void read_model(const Json& config, const Json& a48, PackedContents& contents) {
  Json model = Json::object(), slots = Json::object();
  for (const char* key : kModelKeys) model[key] = member(config, key, "");
  model["sub_norm"] = member(a48, "sub_norm", "a48.");
  for (const char* key : kSlotKeys) slots[key] = member(a48, key, "a48.");
  Json stage = Json::object();
  stage["mode"] = contents.mode;
  Json data = Json::object();
  data["kind"] = "mock";
  data["sequence_length"] = 2;
  Json run = Json::object();
  run["model"] = std::move(model);
  run["quant"] = std::move(slots);
  run["stages"] = Json::Array{std::move(stage)};
  run["data"] = std::move(data);
  run["run"]["dir"] = "none";
  const config::RunConfig loaded = config::load_json(run, "its model");
  contents.model = loaded.model;
  contents.slots = config::slots_of(loaded.stages[0].mode, loaded.stages[0].quant);
}

}  // namespace

std::string unservable(const quant::Slots& slots) {
  if (!slots.ternary_weights) return "weights: fp; a packed file holds ternary weights";
  const std::pair<const char*, quant::Scheme> inputs[] = {
      {"qkv", slots.qkv}, {"o", slots.o}, {"gate_up", slots.gate_up}, {"down", slots.down}};
  for (const auto& [name, scheme] : inputs)
    if (scheme == quant::Scheme::fp || scheme == quant::Scheme::ternary)
      return concat(name, ": ", scheme_name(scheme), "; a packed file serves models with quantized inputs");
  return "";
}

Json config_json(const PackedContents& c) {
  const Model& m = c.model;
  const char* const dtype = c.head == kernels::HeadClass::f32 ? "float32" : "bfloat16";
  Json json = Json::object();
  json["architectures"] = Json::Array{"BitNetForCausalLM"};
  json["model_type"] = "bitnet";
  json["vocab_size"] = m.vocab_size;
  json["hidden_size"] = m.hidden_size;
  json["intermediate_size"] = m.intermediate_size;
  json["num_hidden_layers"] = m.num_hidden_layers;
  json["num_attention_heads"] = m.num_attention_heads;
  json["num_key_value_heads"] = m.kv_heads();
  json["hidden_act"] = m.hidden_act == Activation::relu2 ? "relu2" : "silu";
  json["max_position_embeddings"] = m.max_position_embeddings;
  json["rms_norm_eps"] = m.rms_norm_eps;
  json["initializer_range"] = m.initializer_range;
  json["tie_word_embeddings"] = m.tie_word_embeddings;
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["use_cache"] = true;
  json["bos_token_id"] = m.bos_token_id;
  json["eos_token_id"] = m.eos_token_id;
  json["pad_token_id"] = nullptr;
  json["rope_theta"] = m.rope_theta;
  json["rope_parameters"]["rope_type"] = "default";
  json["rope_parameters"]["rope_theta"] = m.rope_theta;
  json["torch_dtype"] = dtype;
  json["dtype"] = dtype;
  Json& a48 = json["a48"];
  a48["format"] = 1;
  a48["numerics"] = std::int64_t{kPackedNumerics};
  a48["mode"] = c.mode;
  a48["weights"] = c.slots.ternary_weights ? "ternary" : "fp";
  a48["qkv"] = scheme_name(c.slots.qkv);
  a48["o"] = scheme_name(c.slots.o);
  a48["gate_up"] = scheme_name(c.slots.gate_up);
  a48["down"] = scheme_name(c.slots.down);
  a48["topk_keep_o"] = c.slots.topk_keep_o;
  a48["sub_norm"] = m.sub_norm;
  a48["q_bits"] = c.cache.q_bits;
  a48["kv_bits"] = c.cache.kv_bits;
  a48["bos_bits"] = c.cache.bos_bits;
  a48["tokenizer"] = c.tokenizer_kind;
  a48["tokens_seen"] = c.tokens_seen;
  a48["sequence_length"] = c.sequence_length;
  a48["source_sha256"] = c.source_sha256;
  return json;
}

Json generation_config_json(const PackedContents& contents) {
  Json json = Json::object();
  json["bos_token_id"] = contents.model.bos_token_id;
  json["eos_token_id"] = contents.model.eos_token_id;
  json["pad_token_id"] = nullptr;
  json["max_length"] = contents.model.max_position_embeddings;
  return json;
}

PackedContents contents_of(const Json& config) {
  A48_CHECK(config.is_object(), ErrorKind::bad_input, "it is of type ", config.type_name(),
            ", not an object");
  const std::string type = text(config, "model_type", "");
  A48_CHECK(type == "bitnet", ErrorKind::bad_input, "model_type: \"", type, "\"; allowed is \"bitnet\"");
  const Json& a48 = member(config, "a48", "");
  A48_CHECK(a48.is_object(), ErrorKind::bad_input, "a48: of type ", a48.type_name(), ", not an object");
  integer(a48, "format", 1, 1);
  integer(a48, "numerics", kPackedNumerics, kPackedNumerics);

  PackedContents contents;
  contents.mode = text(a48, "mode", "a48.");
  contents.tokenizer_kind = text(a48, "tokenizer", "a48.");
  A48_CHECK(contents.tokenizer_kind == "sentencepiece" || contents.tokenizer_kind == "bytes" ||
                contents.tokenizer_kind == "none",
            ErrorKind::bad_input, "a48.tokenizer: \"", contents.tokenizer_kind,
            "\"; allowed are sentencepiece, bytes, none");
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  contents.tokens_seen = integer(a48, "tokens_seen", 0, kMost);
  if (a48.find("sequence_length") != nullptr)
    contents.sequence_length = integer(a48, "sequence_length", 0, kMost);
  contents.source_sha256 = text(a48, "source_sha256", "a48.");
  try {
    contents.cache = cache_of(a48);
    read_model(config, a48, contents);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::bad_input) throw;
    const std::string message = error.what();  // its last line speaks of a run's configuration
    throw Error(ErrorKind::bad_input, message.substr(0, message.find("\n(")));
  }
  const std::string reason = unservable(contents.slots);
  A48_CHECK(reason.empty(), ErrorKind::bad_input, "a48.", reason);
  return contents;
}

std::string layer_tensor(std::int64_t layer, const char* name) {
  return concat("model.layers.", layer, ".", name);
}

SectionLayout head_layout(kernels::HeadClass head) {
  switch (head) {
    case kernels::HeadClass::f32:
      return SectionLayout::f32;
    case kernels::HeadClass::bf16:
      return SectionLayout::bf16;
    case kernels::HeadClass::i8:
      return SectionLayout::i8_row;
    case kernels::HeadClass::i6:
      return SectionLayout::i6_row;
    case kernels::HeadClass::i4:
      return SectionLayout::i4_row;
  }
  return SectionLayout::none;
}

SectionLayout embedding_layout(kernels::HeadClass head) {
  return head == kernels::HeadClass::f32 ? SectionLayout::f32 : SectionLayout::bf16;
}

std::vector<PlannedSection> planned_sections(const PackedContents& c) {
  const Model& m = c.model;
  const std::int64_t V = m.vocab_size, D = m.hidden_size, F = m.intermediate_size,
                     kv = m.kv_heads() * m.head_dim();
  std::vector<PlannedSection> plan;
  const auto tensor = [&](std::string name, SectionLayout layout, std::int64_t rows, std::int64_t cols) {
    plan.push_back({std::move(name), SectionKind::tensor, layout, rows, cols, false});
  };

  plan.push_back({section::kConfig, SectionKind::json});
  plan.push_back({section::kGenerationConfig, SectionKind::json});
  plan.push_back({section::kProvenance, SectionKind::json});
  if (c.tokenizer_kind == "sentencepiece") plan.push_back({section::kTokenizerModel, SectionKind::bytes});
  plan.push_back({.name = section::kTokenizerJson, .kind = SectionKind::json, .may_be_absent = true});

  tensor(section::kEmbedding, embedding_layout(c.head), V, D);
  for (std::int64_t i = 0; i < m.num_hidden_layers; ++i) {
    const SectionLayout rows = section_layout(c.qkv_gate_layout);
    const auto norm = [&](const char* name, std::int64_t width) {
      tensor(layer_tensor(i, name), SectionLayout::f32, 1, width);
    };
    norm(section::kInputNorm, D);
    tensor(layer_tensor(i, section::kQ), rows, D, D);
    tensor(layer_tensor(i, section::kK), rows, kv, D);
    tensor(layer_tensor(i, section::kV), rows, kv, D);
    if (m.sub_norm) norm(section::kAttentionSubNorm, D);
    tensor(layer_tensor(i, section::kO), SectionLayout::t2_col, D, D);
    norm(section::kPostNorm, D);
    tensor(layer_tensor(i, section::kGate), rows, F, D);
    tensor(layer_tensor(i, section::kUp), SectionLayout::t2_row, F, D);
    if (m.sub_norm) norm(section::kFfnSubNorm, F);
    tensor(layer_tensor(i, section::kDown), SectionLayout::t2_col, D, F);
  }
  tensor(section::kFinalNorm, SectionLayout::f32, 1, D);

  const SectionLayout head = head_layout(c.head);
  if (!m.tie_word_embeddings || !is_float(head)) tensor(section::kHead, head, V, D);
  if (c.head == kernels::HeadClass::i8) tensor(section::kHeadScales, SectionLayout::f32, 1, V);
  if (c.head == kernels::HeadClass::i6 || c.head == kernels::HeadClass::i4)
    tensor(section::kHeadScales, SectionLayout::f16, V, quant::head_groups(D));
  return plan;
}

bool is_known_section(const std::string& name) {
  constexpr std::array kOutside{
      section::kConfig,        section::kGenerationConfig, section::kProvenance, section::kTokenizerModel,
      section::kTokenizerJson, section::kEmbedding,        section::kFinalNorm,  section::kHead,
      section::kHeadScales};
  constexpr std::array kOfLayer{
      section::kInputNorm,       section::kQ,  section::kK,    section::kV,    section::kO,
      section::kPostNorm,        section::kUp, section::kGate, section::kDown, section::kFfnSubNorm,
      section::kAttentionSubNorm};
  if (std::ranges::find(kOutside, name) != kOutside.end()) return true;
  const std::string prefix = "model.layers.";
  if (!name.starts_with(prefix)) return false;
  const std::size_t end = name.find_first_not_of("0123456789", prefix.size());
  if (end == std::string::npos || end == prefix.size() || name[end] != '.') return false;
  return std::ranges::find(kOfLayer, name.substr(end + 1)) != kOfLayer.end();
}

}  // namespace a48::runtime
