// What a packed file is about: its config.json, and the list of sections that follows from it. Writer and
// reader both take names, order, shapes and layouts from here (formats.md 2.2, 2.4, 9). The bytes:
// packed_format.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/config/types.h"
#include "core/kernels/api.h"
#include "core/runtime/kv_cache.h"
#include "core/runtime/packed_format.h"

namespace a48::runtime {

struct PackedContents {
  config::Model model;
  quant::Slots slots;
  std::string mode;
  CacheFormat cache;
  std::string tokenizer_kind;        // "sentencepiece", "bytes", "none"
  std::int64_t sequence_length = 0;  // of training, 0 = unknown
  std::int64_t tokens_seen = 0;
  std::string source_sha256;
  // Not in config.json: told by the layouts of the sections.
  kernels::HeadClass head = kernels::HeadClass::bf16;
  quant::TernaryLayout qkv_gate_layout = quant::TernaryLayout::t2_row4;
};

Json config_json(const PackedContents& contents);
Json generation_config_json(const PackedContents& contents);
/// Error(bad_input), "what: value, allowed"; the caller adds where. Only what config.json says is filled in.
PackedContents contents_of(const Json& config);

/// Why the packed runtime cannot serve these slots, or "".
std::string unservable(const quant::Slots& slots);

struct PlannedSection {
  std::string name;
  SectionKind kind;
  SectionLayout layout = SectionLayout::none;
  std::int64_t rows = 0, cols = 0;  // of a tensor
  bool may_be_absent = false;
};
/// All sections that this version names, in the order of the file.
std::vector<PlannedSection> planned_sections(const PackedContents& contents);
/// Is this a name that some model's list holds?
bool is_known_section(const std::string& name);

/// "model.layers.7.mlp.up_proj.weight"
std::string layer_tensor(std::int64_t layer, const char* name);

namespace section {
inline constexpr const char* kConfig = "config.json";
inline constexpr const char* kGenerationConfig = "generation_config.json";
inline constexpr const char* kProvenance = "provenance.json";
inline constexpr const char* kTokenizerModel = "tokenizer.model";
inline constexpr const char* kTokenizerJson = "tokenizer.json";
inline constexpr const char* kEmbedding = "model.embed_tokens.weight";
inline constexpr const char* kFinalNorm = "model.norm.weight";
inline constexpr const char* kHead = "lm_head.weight";
inline constexpr const char* kHeadScales = "lm_head.scales";
inline constexpr const char* kInputNorm = "input_layernorm.weight";
inline constexpr const char* kQ = "self_attn.q_proj.weight";
inline constexpr const char* kK = "self_attn.k_proj.weight";
inline constexpr const char* kV = "self_attn.v_proj.weight";
inline constexpr const char* kAttentionSubNorm = "self_attn.attn_sub_norm.weight";
inline constexpr const char* kO = "self_attn.o_proj.weight";
inline constexpr const char* kPostNorm = "post_attention_layernorm.weight";
inline constexpr const char* kGate = "mlp.gate_proj.weight";
inline constexpr const char* kUp = "mlp.up_proj.weight";
inline constexpr const char* kFfnSubNorm = "mlp.ffn_sub_norm.weight";
inline constexpr const char* kDown = "mlp.down_proj.weight";
}  // namespace section

/// Layout of the head of a class.
SectionLayout head_layout(kernels::HeadClass head);
SectionLayout embedding_layout(kernels::HeadClass head);

}  // namespace a48::runtime
