// Where keys and values lie: chunks of 256 positions, taken when a sequence grows into them and kept for the
// next ones. What stands in them: core/quant/cache.h; the attention: core/kernels/api.h
// (store_cache_rows, attention_cache_rows).
#include "core/runtime/kv_cache.h"

#include <algorithm>

#include "core/base/check.h"

namespace a48::runtime {
namespace {

/// Rows of a prefill share their scratch, within the size of a second-level cache.
constexpr std::int64_t kScratchFloats = 128 * 1024;

}  // namespace

void check_cache_format(const CacheFormat& format) {
  const auto one_of = [](int value, std::initializer_list<int> allowed) {
    return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
  };
  A48_CHECK(one_of(format.kv_bits, {32, 16, 4, 3}), ErrorKind::config, "kv_bits is ", format.kv_bits,
            "; allowed are 32, 16, 4, 3");
  A48_CHECK(one_of(format.bos_bits, {4, 3}), ErrorKind::config, "bos_bits is ", format.bos_bits,
            "; allowed are 4, and 3 for a first position like the others");
  A48_CHECK(one_of(format.q_bits, {16, 8, 4}), ErrorKind::config, "q_bits is ", format.q_bits,
            "; allowed are 16 (not quantized), 8, 4");
  A48_CHECK(format.q_bits == 16 || format.kv_bits <= 4, ErrorKind::config, "q_bits is ", format.q_bits,
            " with kv_bits ", format.kv_bits, "; queries of 8 or 4 bits need kv_bits 4 or 3");
}

kernels::CacheLayout cache_layout(const CacheShape& shape, const CacheFormat& format) {
  const bool apart = format.kv_bits == 3 && format.bos_bits != 3;
  return {format.kv_bits, apart ? format.bos_bits : 0, shape.kv_heads, shape.head_dim};
}

std::int64_t cache_bytes_per_token(const CacheShape& shape, const CacheFormat& format) {
  return shape.layers * 2 * shape.kv_heads * quant::cache_row_bytes(format.kv_bits, shape.head_dim);
}

void fail_cache_row(std::uint8_t status, const CacheFormat& format, std::int64_t layer, std::int64_t sequence,
                    std::int64_t position) {
  const char* const what =
      status == kernels::kKeyNonFinite ? "key" : (status == kernels::kValueNonFinite ? "value" : "query");
  fail(ErrorKind::not_finite, "layer ", layer, ", sequence ", sequence, ", position ", position, ": a ", what,
       " is not finite",
       format.kv_bits == 32 ? "" : ", or its magnitude is 65520 or more, above what fp16 holds",
       "; the model or its input is damaged", format.kv_bits == 32 ? "" : ", or needs kv_bits 32");
}

KvCache::KvCache(const CacheShape& shape, const CacheFormat& format)
    : shape_(shape), format_(format), layout_(cache_layout(shape, format)) {
  check_cache_format(format);
  layer_bytes_ = 2 * shape.kv_heads * kernels::stream_bytes(layout_);
  first_bytes_ = 2 * shape.kv_heads * kernels::first_stream_bytes(layout_);
}

void KvCache::start(std::int32_t sequences) {
  for (std::vector<std::uint8_t*>& chunks : chunks_of_) {
    free_chunks_.insert(free_chunks_.end(), chunks.begin(), chunks.end());
    chunks.clear();
  }
  const std::size_t count = static_cast<std::size_t>(sequences);
  lengths_.assign(count, 0);
  if (chunks_of_.size() < count) chunks_of_.resize(count);
  while (first_bytes_ > 0 && first_.size() < count)
    first_.emplace_back(shape_.layers * first_bytes_ + kernels::kCacheSlack);
  row_sequence_.clear();
  reserve(reserved_);
}

void KvCache::reserve(std::int64_t positions) {
  reserved_ = std::max(reserved_, positions);
  std::size_t missing = 0, all = 0;
  for (std::size_t s = 0; s < lengths_.size(); ++s) {
    const std::size_t wanted =
        std::max(static_cast<std::size_t>(chunks_for(reserved_)), chunks_of_[s].size());
    chunks_of_[s].reserve(wanted);
    missing += wanted - chunks_of_[s].size();
    all += wanted;
  }
  free_chunks_.reserve(all);
  while (free_chunks_.size() < missing) add_free_chunk();
  const std::size_t rows = lengths_.size() * static_cast<std::size_t>(reserved_);
  row_sequence_.reserve(rows);
  row_position_.reserve(rows);
  views_.reserve(rows);
  status_.reserve(rows);
  fit_scratch();
}

void KvCache::fit_scratch() {
  std::int64_t longest = std::max<std::int64_t>(reserved_, 1);
  for (const std::int64_t length : lengths_) longest = std::max(longest, length);
  const std::int64_t one_row = kernels::attention_cache_scratch(layout_, shape_.heads, longest);
  if (scratch_.size() < one_row) scratch_ = Buffer<float>(std::max(one_row, kScratchFloats));
}

void KvCache::add_free_chunk() {
  // A position's codes touch most small pages of a chunk anyway; its floats are few in a chunk of many.
  chunks_.emplace_back(shape_.layers * layer_bytes_ + kernels::kCacheSlack, format_.kv_bits <= 4);
  free_chunks_.push_back(chunks_.back().data());
}

void KvCache::take_chunk(std::size_t sequence) {
  if (free_chunks_.empty()) add_free_chunk();
  chunks_of_[sequence].push_back(free_chunks_.back());
  free_chunks_.pop_back();
}

void KvCache::append(std::span<const std::int32_t> sequence_of_row, std::int32_t* position) {
  row_sequence_.assign(sequence_of_row.begin(), sequence_of_row.end());
  row_position_.clear();
  for (const std::int32_t sequence : sequence_of_row) {
    A48_ASSERT(sequence >= 0 && sequence < sequences(), "sequence", sequence, "of", sequences());
    const std::size_t s = static_cast<std::size_t>(sequence);
    const std::int64_t next = lengths_[s]++;
    if (next % quant::kCacheChunk == 0) take_chunk(s);
    row_position_.push_back(next);
    *position++ = static_cast<std::int32_t>(next);
  }
  fit_scratch();
}

void KvCache::attend(std::int64_t layer, Rows<const float> q, Rows<const float> k, Rows<const float> v,
                     Rows<float> y) {
  A48_ASSERT(layer >= 0 && layer < shape_.layers, "layer", layer, "of", shape_.layers);
  const std::size_t rows = row_sequence_.size();
  A48_ASSERT(q.rows == static_cast<std::int64_t>(rows), q.rows, "rows;", rows, "were appended");
  views_.clear();
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t s = static_cast<std::size_t>(row_sequence_[r]);
    views_.push_back({chunks_of_[s].data(), layer * layer_bytes_,
                      first_bytes_ == 0 ? nullptr : first_[s].data() + layer * first_bytes_,
                      row_position_[r] + 1});
  }
  status_.assign(rows, kernels::kRowFinite);
  kernels::store_cache_rows({layout_, format_.q_bits, q, k, v, views_.data(), status_.data()});
  for (std::size_t r = 0; r < rows; ++r) {
    if (status_[r] != kernels::kRowFinite)
      fail_cache_row(status_[r], format_, layer, row_sequence_[r], row_position_[r]);
  }
  kernels::attention_cache_rows(
      {layout_, format_.q_bits, shape_.heads, q, views_.data(), y, scratch_.data(), scratch_.size()});
}

std::int64_t KvCache::bytes() const {
  std::int64_t total = 0;
  for (const PageBuffer& chunk : chunks_) total += chunk.size();
  for (const Buffer<std::uint8_t>& first : first_) total += first.size();
  return total;
}

}  // namespace a48::runtime
