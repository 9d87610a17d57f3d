// Growing key/value rows per sequence and layer. Next: core/kernels/api.h (attention_rows).
#include "modules/key_value_cache.h"

#include <algorithm>

#include "core/kernels/api.h"
#include "core/ops/attention.h"
#include "core/ops/bridge.h"
#include "core/ops/device.h"

namespace a48::nn {

KeyValueCache::KeyValueCache(std::int64_t layers, std::int64_t heads, std::int64_t kv_heads,
                             std::int64_t head_dim)
    : layers_(layers), heads_(heads), kv_heads_(kv_heads), head_dim_(head_dim), width_(kv_heads * head_dim) {}

void KeyValueCache::start(std::int32_t sequences) {
  lengths_.assign(static_cast<std::size_t>(sequences), 0);
  stores_.resize(static_cast<std::size_t>(sequences * layers_));
}

KeyValueCache::Store& KeyValueCache::store(std::int64_t layer, std::int32_t sequence) {
  return stores_[static_cast<std::size_t>(sequence * layers_ + layer)];
}

void KeyValueCache::reserve(Store& store, std::int64_t used, std::int64_t positions) {
  if (positions <= store.capacity) return;
  const std::int64_t capacity = std::max<std::int64_t>(positions, 2 * store.capacity);
  Buffer<float> k(capacity * width_), v(capacity * width_);
  std::copy_n(store.k.data(), used * width_, k.data());
  std::copy_n(store.v.data(), used * width_, v.data());
  store = {std::move(k), std::move(v), capacity};
}

at::Tensor KeyValueCache::append(const std::vector<std::int32_t>& sequence_of_row) {
  row_sequence_ = sequence_of_row;
  row_position_.clear();
  std::vector<std::int32_t> position;
  for (const std::int32_t sequence : sequence_of_row) {
    const std::int64_t next = lengths_[static_cast<std::size_t>(sequence)]++;
    row_position_.push_back(next);
    position.push_back(static_cast<std::int32_t>(next));
  }
  return torch::tensor(position, torch::kInt);
}

at::Tensor KeyValueCache::attend(std::int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                 const at::Tensor& v) {
  if (ops::on_device(q)) return attend_on_device(layer, q, k, v);
  const Rows<const float> keys = ops::rows_of<const float>(k), values = ops::rows_of<const float>(v);
  for (std::size_t r = 0; r < row_sequence_.size(); ++r) {
    Store& to = store(layer, row_sequence_[r]);
    const auto row = static_cast<std::int64_t>(r);
    reserve(to, row_position_[r], lengths_[static_cast<std::size_t>(row_sequence_[r])]);
    std::copy_n(keys.row(row), width_, to.k.data() + row_position_[r] * width_);
    std::copy_n(values.row(row), width_, to.v.data() + row_position_[r] * width_);
  }
  std::vector<kernels::KeyValueView> views;
  for (std::size_t r = 0; r < row_sequence_.size(); ++r) {
    const Store& from = store(layer, row_sequence_[r]);
    views.push_back({from.k.data(), from.v.data(), width_, row_position_[r] + 1});
  }
  at::Tensor y = ops::empty_matrix(q.size(0), q.size(1));
  kernels::attention_rows({.q = ops::rows_of<const float>(q),
                           .kv = views.data(),
                           .heads = heads_,
                           .kv_heads = kv_heads_,
                           .head_dim = head_dim_,
                           .y = ops::rows_of<float>(y)});
  return y;
}

/// Run by run of rows of one sequence, which see what was stored before and each other.
at::Tensor KeyValueCache::attend_on_device(std::int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                           const at::Tensor& v) {
  at::Tensor y = at::empty_like(q);
  for (std::size_t begin = 0, end = 0; begin < row_sequence_.size(); begin = end) {
    while (end < row_sequence_.size() && row_sequence_[end] == row_sequence_[begin]) ++end;
    const auto first_row = static_cast<std::int64_t>(begin), rows = static_cast<std::int64_t>(end - begin);
    const std::int64_t before = row_position_[begin], after = before + rows;
    Store& to = store(layer, row_sequence_[begin]);
    const auto append = [&](at::Tensor& stored, const at::Tensor& added) {
      if (!stored.defined() || stored.size(0) < after || stored.options().device() != added.device() ||
          stored.scalar_type() != added.scalar_type()) {
        at::Tensor larger = at::empty({std::max<std::int64_t>(after, 2 * before), width_}, added.options());
        if (before > 0) larger.narrow(0, 0, before).copy_(stored.narrow(0, 0, before));
        stored = larger;
      }
      stored.narrow(0, before, rows).copy_(added.narrow(0, first_row, rows));
    };
    append(to.keys, k);
    append(to.values, v);
    y.narrow(0, first_row, rows)
        .copy_(ops::attention_of_last(q.narrow(0, first_row, rows), to.keys.narrow(0, 0, after),
                                      to.values.narrow(0, 0, after), heads_, kv_heads_, head_dim_));
  }
  return y;
}

}  // namespace a48::nn
