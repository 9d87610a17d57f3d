// From fp32 master weights to a packed file: ternarize, lay out, round the head, hash, write. Where the
// weights come from (a checkpoint, a synthetic model) is the caller's. The reader: packed_file.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/base/buffer.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/config/types.h"
#include "core/kernels/api.h"
#include "core/quant/scheme.h"
#include "core/runtime/kv_cache.h"

namespace a48::runtime {

/// "f32" … "i4"; Error(config) naming the choices.
kernels::HeadClass head_class_of(const std::string& name);
const char* head_class_name(kernels::HeadClass kind);

struct PackRequest {
  config::Model model;
  quant::Slots slots;  // ternary weights and quantized inputs throughout, else Error(config)
  std::string mode;    // its name, "a4.8"
  kernels::HeadClass head = kernels::HeadClass::bf16;
  quant::TernaryLayout qkv_gate_layout = quant::TernaryLayout::t2_row4;  // or t2_row
  CacheFormat cache;  // the serving defaults kept in config.json
  std::string tokenizer_kind = "none";
  std::string tokenizer_model;  // bytes; empty unless sentencepiece
  std::int64_t tokens_seen = 0;
  std::int64_t sequence_length = 0;  // of training
  std::string source_sha256;         // of the checkpoint, hex
  Json provenance;                   // kept in provenance.json, with the rounding report added
};

/// The fp32 tensor of a name of formats.md 2.4, [rows, cols]; vectors are 1 × n. Valid until the next call.
using WeightSource = std::function<Rows<const float>(const std::string& name)>;

/// How far the stored embedding and head are from the masters.
struct RoundingReport {
  double embedding_relative = 0;  // ‖stored − master‖ / ‖master‖
  double head_relative = 0;
};

/// Atomic (files.h). The bytes depend on the request and the weights alone.
RoundingReport write_packed_model(const Path& path, const PackRequest& request, const WeightSource& weights);
/// The same into memory, 64-byte aligned: a checkpoint in the packed runtime without a file.
Buffer<std::byte> pack_model(const PackRequest& request, const WeightSource& weights);

}  // namespace a48::runtime
