#include "core/runtime/device_cache.h"

#include <algorithm>

#include "core/base/check.h"

namespace a48::runtime {

DeviceCache::DeviceCache(const CacheShape& shape, const CacheFormat& format, std::int64_t max_positions)
    : shape_(shape),
      format_(format),
      layout_(cache_layout(shape, format)),
      max_positions_(max_positions),
      layer_bytes_(2 * shape.kv_heads * kernels::stream_bytes(layout_)),
      first_bytes_(2 * shape.kv_heads * kernels::first_stream_bytes(layout_)) {
  check_cache_format(format);
}

std::int64_t DeviceCache::table_chunks() const { return chunks_for(max_positions_); }

void DeviceCache::start(std::int32_t sequences) {
  const auto count = static_cast<std::size_t>(sequences);
  for (std::vector<std::uint8_t*>& chunks : chunks_of_) {
    free_.insert(free_.end(), chunks.begin(), chunks.end());
    chunks.clear();
  }
  lengths_.assign(count, 0);
  if (chunks_of_.size() < count) {
    chunks_of_.resize(count);
    table_.resize(count * static_cast<std::size_t>(table_chunks()));
    device_table_ = kernels::cuda::DeviceBuffer<std::uint8_t*>(std::ssize(table_));
    if (first_bytes_ > 0)
      first_ = kernels::cuda::DeviceBuffer<std::uint8_t>(sequences * shape_.layers * first_bytes_);
    ++revision_;
  }
  reserve(reserved_);
}

void DeviceCache::reserve(std::int64_t positions) {
  reserved_ = std::max(reserved_, std::min(positions, max_positions_));
  fit(reserved_);
  for (std::size_t s = 0; s < lengths_.size(); ++s)
    while (std::ssize(chunks_of_[s]) < chunks_for(reserved_)) take_chunk(s);
}

/// Blocks of the attention for this many positions. At least doubled, so that graphs are recorded seldom.
void DeviceCache::fit(std::int64_t positions) {
  if (chunks_for(positions) <= chunks_) return;
  chunks_ = std::min(std::max(chunks_for(positions), 2 * chunks_), table_chunks());
  ++revision_;
}

void DeviceCache::take_chunk(std::size_t sequence) {
  if (free_.empty()) {
    pages_.emplace_back(chunk_bytes());
    free_.push_back(pages_.back().data());
  }
  const std::size_t place = sequence * static_cast<std::size_t>(table_chunks()) + chunks_of_[sequence].size();
  table_[place] = free_.back();
  chunks_of_[sequence].push_back(free_.back());
  free_.pop_back();
  table_changed_ = true;
}

void DeviceCache::append(std::span<const std::int32_t> sequence_of_row, std::int32_t* position,
                         kernels::cuda::Stream stream) {
  for (const std::int32_t sequence : sequence_of_row) {
    const auto s = static_cast<std::size_t>(sequence);
    const std::int64_t next = lengths_[s]++;
    if (chunks_for(next + 1) > std::ssize(chunks_of_[s])) take_chunk(s);
    fit(next + 1);
    *position++ = static_cast<std::int32_t>(next);
  }
  if (!table_changed_) return;
  kernels::cuda::copy_to_device(device_table_.data(), table_.data(), device_table_.bytes(), stream);
  table_changed_ = false;
}

kernels::cuda::CachePages DeviceCache::pages(std::int64_t layer, const std::int32_t* sequence,
                                             const std::int32_t* position) const {
  return {.layout = layout_,
          .chunk = device_table_.data(),
          .chunks = table_chunks(),
          .offset = layer * layer_bytes_,
          .first = first_bytes_ == 0 ? nullptr : first_.data() + layer * first_bytes_,
          .first_stride = shape_.layers * first_bytes_,
          .sequence = sequence,
          .position = position};
}

std::int64_t DeviceCache::bytes() const {
  return std::ssize(pages_) * chunk_bytes() + first_.bytes() + device_table_.bytes();
}

}  // namespace a48::runtime
