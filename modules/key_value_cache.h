// Keys and values of every layer and sequence: in fp32 with the exact attention over them (numerics.md 5.2,
// kv_bits 32), or on a GPU in the type of the activations with LibTorch's attention. Next: core/kernels/api.h
// (attention_rows), core/ops/attention.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/buffer.h"

namespace a48::nn {

class KeyValueCache {
 public:
  /// width = kv_heads · head_dim.
  KeyValueCache(std::int64_t layers, std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim);

  /// Forgets all and begins `sequences` empty ones; storage is kept.
  void start(std::int32_t sequences);
  std::int64_t length(std::int32_t sequence) const { return lengths_[static_cast<std::size_t>(sequence)]; }
  std::int32_t sequences() const { return static_cast<std::int32_t>(lengths_.size()); }

  /// The rows of the next calls of attend: one more position of each named sequence, in order. Returns int32
  /// positions [R].
  at::Tensor append(const std::vector<std::int32_t>& sequence_of_row);
  /// Stores k, v [R, width] of the appended rows, then lets each q [R, H·hd] see its sequence up to itself.
  at::Tensor attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v);

 private:
  struct Store {
    Buffer<float> k, v;
    std::int64_t capacity = 0;          // positions
    at::Tensor keys = {}, values = {};  // [positions, width] on a GPU, in place of k and v
  };
  Store& store(std::int64_t layer, std::int32_t sequence);
  at::Tensor attend_on_device(std::int64_t layer, const at::Tensor& q, const at::Tensor& k,
                              const at::Tensor& v);
  void reserve(Store& store, std::int64_t used, std::int64_t positions);

  std::int64_t layers_, heads_, kv_heads_, head_dim_, width_;
  std::vector<std::int64_t> lengths_;       // [sequences], appended rows included
  std::vector<Store> stores_;               // [sequence][layer]
  std::vector<std::int32_t> row_sequence_;  // of the appended rows
  std::vector<std::int64_t> row_position_;
};

}  // namespace a48::nn
