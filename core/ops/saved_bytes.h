// What autograd keeps for backward, in bytes: every tensor that any operation saves while a SavedBytes is
// alive is seen, ours or LibTorch's (numerics.md 4.3, check 17).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

namespace a48::ops {

/// Counts between construction and destruction; one at a time. Each storage counts once.
class SavedBytes {
 public:
  SavedBytes();
  ~SavedBytes();
  SavedBytes(const SavedBytes&) = delete;
  SavedBytes& operator=(const SavedBytes&) = delete;

  /// By the name that an operation gave its tensors: "model.layers.0.self_attn.q_proj", "rms_norm", "glu",
  /// "attention" …; '/' divides input, step, weight. What nobody named is kUnnamed.
  std::map<std::string, std::int64_t> by_name() const;
  std::int64_t total() const;

  static constexpr const char* kUnnamed = "unnamed";

 private:
  friend void note_saved(const std::string&, at::TensorList);
  friend struct CountingHooks;
  std::unordered_map<const void*, std::int64_t> bytes_;  // of the storages that were saved
  std::unordered_map<const void*, std::string> names_;   // of storages; the first name stays
};

/// Called by the operations for what they save; does nothing when nobody counts.
void note_saved(const std::string& name, at::TensorList tensors);

}  // namespace a48::ops
