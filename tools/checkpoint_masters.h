// The fp32 weights of a checkpoint, by name, and the checkpoint as a packed model: what `export` writes, and
// what low-bit keys and values are tried on without a file.
#pragma once

#include <string>

#include "core/base/buffer.h"
#include "core/base/view.h"
#include "core/format/safetensors.h"
#include "core/runtime/pack_model.h"
#include "tools/commands.h"

namespace a48::tools {

inline constexpr const char* kCheckpointWeights = "model.safetensors";

/// A WeightSource.
class CheckpointMasters {
 public:
  explicit CheckpointMasters(const std::string& checkpoint);
  Rows<const float> operator()(const std::string& name);

 private:
  format::SafetensorsFile file_;
  Buffer<float> values_;
};

/// Model, slots, mode, tokenizer and tokens of an opened checkpoint; a bf16 head.
runtime::PackRequest pack_request_of(const train::OpenedModel& opened);

/// The opened checkpoint in the packed runtime, with an f32 head, so that only cache and device differ.
train::OpenedModel packed_in_memory(const train::OpenedModel& opened, const Serving& serving);

}  // namespace a48::tools
