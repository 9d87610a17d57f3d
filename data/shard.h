// Token shards (formats.md 6.1, 6.2): llm.c files of u16 or u32 tokens, and their JSON sidecar. Readers check
// header, size and sidecar before use; ids are checked in every batch and never reduced modulo V. Order of
// windows: order.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/files.h"

namespace a48::data {

inline constexpr std::int64_t kShardHeaderBytes = 1024;      // 256 × int32
inline constexpr std::int64_t kMaxVocabU16 = 65536;          // vocabularies up to here are written as u16
inline constexpr std::int64_t kMaxShardTokens = 0x7FFFFFFF;  // the count is an int32
inline constexpr const char* kSidecarFormat = "a48-shards/1";

/// What the header of a shard says.
struct ShardHeader {
  int width = 2;  // bytes per token: 2 or 4
  std::int64_t tokens = 0;
  std::int64_t tokenizer_size = 0;  // 0 = unknown
  std::string tokenizer_sha256;     // 64 hex digits; "" = unknown
};
/// The header's 1024 bytes.
std::string shard_header(const ShardHeader& header);

/// One mapped shard file.
class Shard {
 public:
  explicit Shard(const Path& path);
  const ShardHeader& header() const { return header_; }
  std::int64_t tokens() const { return header_.tokens; }
  std::int64_t bytes() const { return kShardHeaderBytes + header_.tokens * header_.width; }
  std::uint32_t token(std::int64_t index) const;  // 0 <= index < tokens()
  const Path& path() const { return file_.path(); }

 private:
  MappedFile file_;
  ShardHeader header_;
};

/// The shards of one split, sorted bytewise by name, with the facts of their sidecar.
struct ShardSet {
  std::vector<std::unique_ptr<Shard>> shards;
  std::int64_t tokens = 0;
  std::string fingerprint;  // formats.md 6.2: of every shard of the folder's sidecar, or of the listed files
  std::string tokenizer_kind;    // "sentencepiece" | "bytes" | "" unknown
  Path tokenizer_file;           // the sidecar's, else the tokenizer.model beside; empty = bytes or unknown
  std::string tokenizer_sha256;  // "" unknown
  std::int64_t vocab_size = 0;   // of the tokenizer; 0 unknown
  std::int32_t bos_id = 1;       // the sidecar's; without one, the tokenizer's, else the model's
  std::string delimiter = "bos";
  std::vector<std::int64_t> max_ids;  // of each shard, as the sidecar says; -1 where none does

  /// Copies `count` ids from `begin` of a shard; an id >= vocab is Error(bad_input) with file and position.
  void read(std::size_t shard, std::int64_t begin, std::int64_t count, std::int64_t vocab,
            std::int64_t* out) const;
};

inline constexpr std::int64_t kHashedBytes = std::int64_t{4} << 30;
/// All files of `folder` that match `glob`, and their tokenizer: the sidecar's; without one the
/// tokenizer.model beside them, which must have the hash that the headers name. Missing, truncated, altered
/// or disagreeing files, a tokenizer size above `vocab` (0 = unchecked), a BOS that is not `bos_id` (nothing
/// = unchecked): Error(bad_input). Contents are hashed against the sidecar up to `hashed_bytes` in total;
/// above that, sizes and counts are compared and a line says so.
ShardSet open_shards(const Path& folder, const std::string& glob, std::int64_t vocab,
                     std::optional<std::int64_t> bos_id = {}, std::int64_t hashed_bytes = kHashedBytes);

/// Two splits read by one model: tokenizers that differ, as far as the sets name them, are Error(bad_input)
/// with both names.
void check_same_tokenizer(const ShardSet& a, const ShardSet& b);

}  // namespace a48::data
