// What an operation keeps for its backward, in bytes: counted while a SavedBytes is alive (numerics.md 4.3,
// check 17).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>

namespace a48::ops {

/// Counts between construction and destruction; one at a time. Each storage counts once, for whoever saved it
/// first.
class SavedBytes {
 public:
  SavedBytes();
  ~SavedBytes();
  SavedBytes(const SavedBytes&) = delete;
  SavedBytes& operator=(const SavedBytes&) = delete;

  /// By the operation's name: "model.layers.0.self_attn.q_proj", "rms_norm", "glu", "attention" …; '/'
  /// divides input, step, weight.
  const std::map<std::string, std::int64_t>& by_name() const { return by_name_; }
  std::int64_t total() const;

 private:
  friend void note_saved(const std::string&, at::TensorList);
  std::map<std::string, std::int64_t> by_name_;
  std::unordered_set<const void*> seen_;
};

/// Called by the operations; does nothing when nobody counts.
void note_saved(const std::string& name, at::TensorList tensors);

}  // namespace a48::ops
