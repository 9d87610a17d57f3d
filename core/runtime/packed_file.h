// Packed model files `*.a48` (formats.md 9): one file holds configuration, tokenizer and weights, is mapped
// and used where it lies. Reader: every rule is checked before use; writer: pack_model.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/config/types.h"
#include "core/kernels/api.h"
#include "core/quant/scheme.h"
#include "core/runtime/kv_cache.h"

namespace a48::runtime {

enum class Verify { structure, full };  // rules 1 to 4; with payloads: rule 5

/// Weights of a block, in place; a norm that the model lacks is nullptr.
struct PackedLayer {
  const float *input_layernorm, *attn_sub_norm, *post_attention_layernorm, *ffn_sub_norm;
  kernels::TernaryMatrix q, k, v, o, gate, up, down;
};

struct PackedSection {  // for `inspect`
  std::string name;
  std::string layout;  // "JSON", "bytes", "F32", "T2_ROW4", …
  std::int64_t rows = 0, cols = 0;
  std::uint64_t offset = 0, bytes = 0;
  float scale = 0.0f;
  std::int64_t nonzero = 0;
  std::string sha256;  // of the payload, hex
};

/// A mapped and checked file; views stay valid as long as it lives.
class PackedModel {
 public:
  /// Error(bad_input) names file, rule, section and offset. A small file is used where it is mapped; a large
  /// one is copied once, to large pages.
  static PackedModel open(const Path& path, Verify verify = Verify::structure);
  /// The same for a file's bytes in memory (64-byte aligned), which must outlive the model.
  static PackedModel of_bytes(std::span<const std::byte> bytes, const std::string& source, Verify verify);

  /// The same, and keeps the bytes.
  static PackedModel of_buffer(Buffer<std::byte> bytes, const std::string& source);

  const config::Model& model() const { return model_; }
  const quant::Slots& slots() const { return slots_; }
  const std::string& mode() const { return mode_; }  // "a4.8"
  const CacheFormat& cache_format() const { return cache_format_; }
  const kernels::HeadWeight& embedding() const { return embedding_; }
  const kernels::HeadWeight& head() const { return head_; }
  const std::vector<PackedLayer>& layers() const { return layers_; }
  const float* final_norm() const { return final_norm_; }

  const std::string& source() const { return source_; }
  const std::string& identity() const { return identity_; }              // hex header_sha256
  const std::string& tokenizer_kind() const { return tokenizer_kind_; }  // "sentencepiece", "bytes", "none"
  std::string_view tokenizer_model() const { return tokenizer_model_; }  // bytes of tokenizer.model, or empty
  const Json& config_json() const { return config_json_; }
  const Json& provenance() const { return provenance_; }
  const std::vector<PackedSection>& sections() const { return sections_; }
  std::int64_t sequence_length() const { return sequence_length_; }  // of training, 0 = unknown
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  PackedModel() = default;

  MappedFile file_;
  Buffer<std::byte> buffer_;  // in place of a file
  PageBuffer pages_;          // likewise, in large pages
  std::string source_, identity_, mode_, tokenizer_kind_;
  std::string_view tokenizer_model_;
  config::Model model_;
  quant::Slots slots_;
  CacheFormat cache_format_;
  kernels::HeadWeight embedding_, head_;
  std::vector<PackedLayer> layers_;
  const float* final_norm_ = nullptr;
  Json config_json_, provenance_;
  std::vector<PackedSection> sections_;
  std::int64_t sequence_length_ = 0;
  std::uint64_t file_bytes_ = 0;
};

}  // namespace a48::runtime
