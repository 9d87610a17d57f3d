// Token shards for tests, written without fsync: these files need not outlive a power cut.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "data/shard.h"

namespace a48::test {

inline void put(const Path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// The bytes of a shard; width 2 or 4.
inline std::string shard_bytes(const std::vector<std::uint32_t>& ids, data::ShardHeader header = {}) {
  header.tokens = static_cast<std::int64_t>(ids.size());
  std::string bytes = data::shard_header(header);
  for (const std::uint32_t id : ids)
    bytes.append(reinterpret_cast<const char*>(&id), static_cast<std::size_t>(header.width));
  return bytes;
}

inline void put_shard(const Path& path, const std::vector<std::uint32_t>& ids,
                      const data::ShardHeader& header = {}) {
  put(path, shard_bytes(ids, header));
}

}  // namespace a48::test
