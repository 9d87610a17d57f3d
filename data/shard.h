// Token shards (formats.md 6.1, 6.2): llm.c files of u16 or u32 tokens, and their JSON sidecar. Readers check
// header, size and sidecar before use; ids are checked in every batch and never reduced modulo V. Order of
// windows: order.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/files.h"

namespace a48::data {

/// One mapped shard file.
class Shard {
 public:
  explicit Shard(const Path& path);
  std::int64_t tokens() const { return count_; }
  int width() const { return width_; }                                       // bytes per token: 2 or 4
  std::int64_t tokenizer_size() const { return tokenizer_size_; }            // 0 = unknown
  const std::string& tokenizer_sha256() const { return tokenizer_sha256_; }  // "" = unknown
  std::uint32_t token(std::int64_t index) const;
  const Path& path() const { return file_.path(); }

 private:
  MappedFile file_;
  std::int64_t count_ = 0;
  int width_ = 2;
  std::int64_t tokenizer_size_ = 0;
  std::string tokenizer_sha256_;
};

/// The shards of one split, sorted bytewise by name, with the facts of their sidecar.
struct ShardSet {
  std::vector<std::unique_ptr<Shard>> shards;
  std::int64_t tokens = 0;
  std::string fingerprint;  // formats.md 6.2: of every shard of the folder's sidecar, or of the listed files
  std::string tokenizer_kind;    // "sentencepiece" | "bytes" | "" unknown
  Path tokenizer_file;           // empty = bytes or unknown
  std::string tokenizer_sha256;  // "" unknown
  std::int64_t vocab_size = 0;   // of the tokenizer; 0 unknown
  std::int32_t bos_id = 1;
  std::string delimiter = "bos";

  /// Copies `count` ids from `begin` of a shard; an id >= vocab is Error(bad_input) with file and position.
  void read(std::size_t shard, std::int64_t begin, std::int64_t count, std::int64_t vocab,
            std::int64_t* out) const;
};

/// All files of `folder` that match `glob`. Missing, truncated, altered or disagreeing files, a tokenizer
/// size above `vocab` (0 = unchecked): Error(bad_input).
ShardSet open_shards(const Path& folder, const std::string& glob, std::int64_t vocab);

}  // namespace a48::data
