// manifest.json of checkpoints and exports: what each file holds, verified before any tensor is used
// (formats.md 8).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/json.h"

namespace a48::format {

struct FileEntry {
  std::string name;
  std::uint64_t bytes = 0;
  std::string sha256;
};
struct TensorEntry {
  std::string dtype;
  std::vector<std::int64_t> shape;
  bool operator==(const TensorEntry&) const = default;
};

struct Manifest {
  std::string format;  // "a48-checkpoint/1"
  std::int64_t step = 0, tokens = 0, stage = 0, world_size = 1;
  std::string run_sha256, data_sha256, tool;
  std::vector<FileEntry> files;
  std::map<std::string, TensorEntry> tensors;
};

/// Entry of a file that is already written in `folder`.
FileEntry file_entry(const Path& folder, const std::string& name);
/// With self_sha256 taken with its own 64 digits as zeros.
void write_manifest(const Path& folder, const Manifest& manifest);
/// Self hash, format, then size and SHA-256 of every listed file; unlisted files are a warning.
/// Error(bad_input) names the file.
Manifest read_manifest(const Path& folder, const std::string& format, bool verify_files = true);

}  // namespace a48::format
