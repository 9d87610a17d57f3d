// safetensors files: bytes only, every bound checked before data is touched (formats.md 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/base/files.h"

namespace a48::format {

/// "F32", "BF16", … of formats.md 4; 0 = unknown name.
int dtype_bytes(const std::string& dtype);

struct TensorInfo {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // bytes within the data part
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(
      const Path& path);  // maps and validates; Error(bad_input) names file, tensor and rule
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in offset order
  const TensorInfo* find(const std::string& name) const;
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::size_t data_begin_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorSource {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;  // contiguous, little-endian
};
/// Same tensors, same bytes; atomic (files.h).
void write_safetensors(const Path& path, std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace a48::format
