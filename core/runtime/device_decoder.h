// DeviceDecoder: a packed model as LanguageModel on a GPU, the algebra of decoder.cpp on its rows, with the
// same bits. One token of one sequence is one recorded graph: its id, sequence and position go to the device,
// logits and the status of every step come back, and the host waits once. Several tokens are the same
// kernels on rows. Next: device_weights.h, device_cache.h, core/kernels/cuda/table_cuda.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/kernels/cuda/graph.h"
#include "core/kernels/cuda/memory.h"
#include "core/runtime/device_cache.h"
#include "core/runtime/device_weights.h"
#include "core/runtime/model.h"
#include "core/runtime/packed_file.h"
#include "core/runtime/serving.h"
#include "core/runtime/sparsity.h"

namespace a48::runtime {

/// Error(no_resources) where there is no GPU that the kernels can use.
void demand_device();

class DeviceDecoder : public LanguageModel {
 public:
  /// Error(no_resources) without a GPU, or when the model does not fit into its free memory, with the
  /// estimate. Every weight is read for every token: options.skip_zeros is as if false.
  explicit DeviceDecoder(PackedModel model, const DecoderOptions& options = {});

  const ModelInfo& info() const override { return serving_.info; }
  void start(std::int32_t sequences) override { cache_.start(sequences); }
  void reserve(std::int64_t positions) override { cache_.reserve(positions); }
  Rows<const float> feed(std::span<const TokenInput> tokens) override;
  void reset_sparsity() override;
  Sparsity sparsity() const override { return sparsity_of(counts(), model_.model()); }

  const PackedModel& packed() const { return model_; }
  const DeviceCache& cache() const { return cache_; }
  SparsityCounts counts() const;
  /// Kernels of the graph of one token.
  std::int64_t kernels_of_token() const;

 private:
  template <typename T>
  using DeviceBuffer = kernels::cuda::DeviceBuffer<T>;
  template <typename T>
  using PinnedBuffer = kernels::cuda::PinnedBuffer<T>;

  void make_room(std::int64_t rows, std::int64_t logits);
  void run_block(std::span<const TokenInput> tokens, std::int64_t written);
  void put_block(std::int64_t written);
  void put_layer(std::int64_t layer);
  void put_quantized(Rows<const float> x, const float* gain, const InputSlot& slot, std::uint8_t* status,
                     kernels::cuda::Counter* zeros);
  void put_down_input(Rows<const float> gate_up, const float* gain, std::uint8_t* status);
  void put_codes(kernels::cuda::QuantizeArgs& args, std::uint8_t* status);
  void put_product(const kernels::cuda::TernaryOperand& weight, Rows<float> y, bool add);
  void put_attention(std::int64_t layer, Rows<float> qkv, Rows<float> y);
  void put_head(std::int64_t first, std::int64_t count, std::int64_t written);
  void check_block(std::int64_t written) const;
  RowPlace place_of(std::int64_t row) const;
  Rows<float> rows_of(const DeviceBuffer<float>& buffer, std::int64_t width) const;
  Rows<std::int8_t> codes_of(std::int64_t rows, std::int64_t width) const;
  std::uint8_t* status_of(std::int64_t step) const;
  std::int64_t status_bytes() const;
  const std::int32_t* ids() const { return device_input_.data(); }
  const std::int32_t* sequences() const { return device_input_.data() + rows_; }
  const std::int32_t* positions() const { return device_input_.data() + 2 * rows_; }

  PackedModel model_;
  ServingPlan serving_;
  kernels::cuda::OwnedStream stream_;
  DeviceWeights weights_;
  DeviceCache cache_;
  DeviceBuffer<float> cos_, sin_;  // [positions, hd/2]

  // Of the block of rows at work; [R, width] each.
  std::int64_t rows_ = 0, capacity_ = 0, logits_capacity_ = 0;
  PinnedBuffer<std::int32_t> input_;  // ids, sequences, positions: [3, R], and on the device:
  DeviceBuffer<std::int32_t> device_input_;
  DeviceBuffer<float> x_, qkv_, query_, factor_, o_, gate_up_, y_;
  DeviceBuffer<std::int8_t> codes_;
  DeviceBuffer<float> step_;
  DeviceBuffer<std::int32_t> code_sum_;
  DeviceBuffer<std::uint8_t> attention_scratch_, device_status_;
  PinnedBuffer<std::uint8_t> status_;
  std::vector<std::int64_t> wanted_;  // rows whose logits are wanted, ascending
  DeviceBuffer<float> device_logits_;
  PinnedBuffer<float> logits_;
  std::vector<std::int32_t> row_sequence_;

  DeviceBuffer<kernels::cuda::Counter> zeros_;  // in the order of SparsityCounts
  std::int64_t counted_rows_ = 0;

  kernels::cuda::Graph token_;  // one row with logits
  std::int64_t token_revision_ = -1;
};

}  // namespace a48::runtime
