// The weights of a packed model in the memory of a GPU: ternary matrices as the words of
// core/kernels/cuda/layout.h, the only copy there, those that share an input one after another; embedding,
// head and norms as they are stored. Next: core/kernels/cuda/pack_rows.cu.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/cuda/memory.h"
#include "core/kernels/cuda/table_cuda.h"
#include "core/runtime/packed_file.h"

namespace a48::runtime {

/// A norm that the model lacks is nullptr.
struct DeviceLayer {
  const float *input_layernorm, *attn_sub_norm, *post_attention_layernorm, *ffn_sub_norm;
  kernels::cuda::TernaryOperand qkv, o, gate_up, down;
};

class DeviceWeights {
 public:
  /// Copies the model and waits until it is there.
  DeviceWeights(const PackedModel& model, kernels::cuda::Stream stream);
  /// What that will take.
  static std::int64_t bytes_of(const PackedModel& model);
  /// Of it the ternary words, and the head: what every token reads.
  static std::int64_t ternary_bytes_of(const PackedModel& model);
  static std::int64_t head_bytes_of(const PackedModel& model);

  const std::vector<DeviceLayer>& layers() const { return layers_; }
  const kernels::HeadWeight& embedding() const { return embedding_; }
  const kernels::HeadWeight& head() const { return head_; }
  const float* final_norm() const { return final_norm_; }

 private:
  class Upload;

  std::vector<kernels::cuda::DeviceBuffer<std::uint8_t>> memory_;
  std::vector<DeviceLayer> layers_;
  kernels::HeadWeight embedding_, head_;
  const float* final_norm_ = nullptr;
};

}  // namespace a48::runtime
