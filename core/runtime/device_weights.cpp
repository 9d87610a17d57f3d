#include "core/runtime/device_weights.h"

#include <algorithm>
#include <initializer_list>

namespace a48::runtime {
namespace {

namespace cuda = kernels::cuda;
using Matrices = std::initializer_list<const kernels::TernaryMatrix*>;

std::int64_t word_bytes(const kernels::TernaryMatrix& matrix) {
  return matrix.rows * cuda::ternary_row_words(matrix.cols) * std::int64_t{sizeof(std::uint32_t)};
}

std::int64_t head_bytes(const kernels::HeadWeight& head) {
  const std::int64_t scales = head.group_scale.rows * head.group_scale.stride * 2;
  return head.stored.rows * head.stored.stride + scales + (head.row_scale != nullptr ? 4 * head.rows : 0);
}

template <typename Visit>
void for_each_matrix(const PackedLayer& w, Visit visit) {
  for (const kernels::TernaryMatrix* m : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) visit(*m);
}

}  // namespace

class DeviceWeights::Upload {
 public:
  Upload(DeviceWeights& weights, cuda::Stream stream) : weights_(weights), stream_(stream) {}

  template <typename T>
  const T* copy(const T* from, std::int64_t count) {
    if (from == nullptr) return nullptr;
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    std::uint8_t* to = room(bytes);
    cuda::copy_to_device(to, from, bytes, stream_);
    return reinterpret_cast<const T*>(to);
  }

  kernels::HeadWeight head(kernels::HeadWeight head) {
    head.stored.data = copy(head.stored.data, head.stored.rows * head.stored.stride);
    head.row_scale = copy(head.row_scale, head.rows);
    head.group_scale.data = copy(head.group_scale.data, head.group_scale.rows * head.group_scale.stride);
    return head;
  }

  /// Matrices with the same input, as one.
  cuda::TernaryOperand operand(Matrices matrices) {
    cuda::TernaryOperand all;
    all.inputs = (*matrices.begin())->cols;
    all.matrices = 0;
    float alpha[cuda::kMostMatrices];
    for (const kernels::TernaryMatrix* m : matrices) {
      alpha[all.matrices] = m->alpha;
      all.outputs += m->rows;
      all.end[all.matrices++] = all.outputs;
    }
    const float* alphas = copy(alpha, all.matrices);
    const std::int64_t stride = cuda::ternary_row_words(all.inputs);
    auto* words =
        reinterpret_cast<std::uint32_t*>(room(all.outputs * stride * std::int64_t{sizeof(std::uint32_t)}));
    all.words = {words, all.outputs, stride};
    for (int m = 0; m < all.matrices; ++m) {
      all.alpha[m] = alphas + m;
      const kernels::TernaryMatrix& matrix = *matrices.begin()[m];
      write_words(matrix, {words, matrix.rows, stride});
      words += matrix.rows * stride;
    }
    return all;
  }

 private:
  std::uint8_t* room(std::int64_t bytes) {
    weights_.memory_.emplace_back(bytes);
    return weights_.memory_.back().data();
  }
  void write_words(const kernels::TernaryMatrix& matrix, Rows<std::uint32_t> words) {
    const Rows<const std::uint8_t>& stored = matrix.packed;
    const std::int64_t bytes = stored.rows * stored.stride;
    cuda::synchronize(stream_);  // the bytes of the last matrix have been read
    if (stored_.size() < bytes) stored_ = cuda::DeviceBuffer<std::uint8_t>(bytes);
    cuda::copy_to_device(stored_.data(), stored.data, bytes, stream_);
    cuda::table_cuda().ternary_words({.outputs = matrix.rows,
                                      .inputs = matrix.cols,
                                      .stored = {stored_.data(), stored.rows, stored.cols, stored.stride},
                                      .layout = matrix.layout,
                                      .words = words},
                                     stream_);
  }

  DeviceWeights& weights_;
  cuda::Stream stream_;
  cuda::DeviceBuffer<std::uint8_t> stored_;  // of one matrix, as in the file
};

DeviceWeights::DeviceWeights(const PackedModel& model, cuda::Stream stream) {
  const config::Model& m = model.model();
  Upload upload(*this, stream);
  for (const PackedLayer& w : model.layers())
    layers_.push_back({.input_layernorm = upload.copy(w.input_layernorm, m.hidden_size),
                       .attn_sub_norm = upload.copy(w.attn_sub_norm, m.hidden_size),
                       .post_attention_layernorm = upload.copy(w.post_attention_layernorm, m.hidden_size),
                       .ffn_sub_norm = upload.copy(w.ffn_sub_norm, m.intermediate_size),
                       .qkv = upload.operand({&w.q, &w.k, &w.v}),
                       .o = upload.operand({&w.o}),
                       .gate_up = upload.operand({&w.gate, &w.up}),
                       .down = upload.operand({&w.down})});
  final_norm_ = upload.copy(model.final_norm(), m.hidden_size);
  embedding_ = upload.head(model.embedding());
  head_ = model.head().stored.data == model.embedding().stored.data ? embedding_ : upload.head(model.head());
  cuda::synchronize(stream);
}

std::int64_t DeviceWeights::ternary_bytes_of(const PackedModel& model) {
  std::int64_t bytes = 0;
  for (const PackedLayer& w : model.layers())
    for_each_matrix(w, [&](const kernels::TernaryMatrix& m) { bytes += word_bytes(m); });
  return bytes;
}

std::int64_t DeviceWeights::head_bytes_of(const PackedModel& model) { return head_bytes(model.head()); }

std::int64_t DeviceWeights::bytes_of(const PackedModel& model) {
  std::int64_t largest = 0;  // a matrix as in the file, while its words are made
  for (const PackedLayer& w : model.layers())
    for_each_matrix(w, [&](const kernels::TernaryMatrix& m) {
      largest = std::max(largest, m.packed.rows * m.packed.stride);
    });
  const bool shared = model.head().stored.data == model.embedding().stored.data;
  return ternary_bytes_of(model) + head_bytes(model.embedding()) + (shared ? 0 : head_bytes(model.head())) +
         largest;
}

}  // namespace a48::runtime
