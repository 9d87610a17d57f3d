// Reading shards: one header rule after the other, then the sidecar against the files.
#include "data/shard.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string_view>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/log.h"

namespace a48::data {
namespace {

/// Magic and version that go with a token width.
struct Kind {
  int width;
  std::int32_t magic, version;
};
constexpr std::array<Kind, 2> kKinds{{{2, 20240520, 1}, {4, 20240801, 7}}};

constexpr std::size_t kHeaderInts = 256;
constexpr std::size_t kShaBytes = 32;  // ints 4…11
using HeaderInts = std::array<std::int32_t, kHeaderInts>;

std::string hex_of(const unsigned char* bytes) {
  std::string text;
  for (std::size_t i = 0; i < kShaBytes; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text == std::string(2 * kShaBytes, '0') ? "" : text;
}

void bytes_of_hex(const std::string& hex, unsigned char* bytes) {
  A48_ASSERT(hex.size() == 2 * kShaBytes, hex);
  for (std::size_t i = 0; i < kShaBytes; ++i)
    bytes[i] = static_cast<unsigned char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
}

ShardHeader parse_header(std::span<const std::byte> file, const std::string& name) {
  A48_CHECK(file.size() >= static_cast<std::size_t>(kShardHeaderBytes), ErrorKind::bad_input, name, ": ",
            file.size(), " bytes; a token shard has a header of ", kShardHeaderBytes,
            " bytes. It is truncated or no shard");
  HeaderInts ints{};
  std::memcpy(ints.data(), file.data(), sizeof(ints));
  const auto kind =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.magic == ints[0]; });
  A48_CHECK(kind != kKinds.end(), ErrorKind::bad_input, name, ": the first integer is ", ints[0],
            "; token shards begin with ", kKinds[0].magic, " (u16) or ", kKinds[1].magic, " (u32)");
  A48_CHECK(ints[1] == kind->version, ErrorKind::bad_input, name, ": version ", ints[1], " of magic ",
            kind->magic, "; known is ", kind->version);
  A48_CHECK(ints[2] >= 1, ErrorKind::bad_input, name, ": the header counts ", ints[2],
            " tokens; at least 1 is needed");
  ShardHeader header;
  header.width = kind->width;
  header.tokens = ints[2];
  const std::uint64_t expected = static_cast<std::uint64_t>(kShardHeaderBytes + header.tokens * header.width);
  A48_CHECK(file.size() == expected, ErrorKind::bad_input, name, ": ", file.size(), " bytes; ", header.tokens,
            " tokens of ", header.width, " bytes and the header need ", expected,
            file.size() < expected ? ". It is truncated" : "");
  A48_CHECK(ints[3] >= 0, ErrorKind::bad_input, name, ": the header gives the tokenizer ", ints[3],
            " pieces");
  header.tokenizer_size = ints[3];
  header.tokenizer_sha256 = hex_of(reinterpret_cast<const unsigned char*>(ints.data() + 4));
  return header;
}

/// NAME of NAME_{train,val}_000000.bin; nothing for files that others named.
std::optional<std::string> set_name(const std::string& file) {
  const std::string_view name = file;
  const std::size_t number = name.rfind('_');
  if (number == std::string_view::npos || number == 0 || !name.ends_with(".bin")) return {};
  for (const std::string_view split : {"_train", "_val"}) {
    const std::string_view before = name.substr(0, number);
    if (before.ends_with(split) && before.size() > split.size())
      return std::string(before.substr(0, before.size() - split.size()));
  }
  return {};
}

std::vector<std::string> matching_files(const Path& folder, const std::string& glob) {
  A48_CHECK(std::filesystem::is_directory(folder), ErrorKind::bad_input, folder.string(),
            ": no such folder; `a48 prepare --out ", folder.string(), " TEXT…` makes it from text");
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    const std::string name = item.path().filename().string();
    if (fnmatch(glob.c_str(), name.c_str(), 0) == 0) names.push_back(name);
  }
  A48_CHECK(!names.empty(), ErrorKind::bad_input, folder.string(), ": no file matches ", glob,
            "; `a48 prepare --out ", folder.string(), " TEXT…` makes token shards from text");
  std::sort(names.begin(), names.end());
  return names;
}

std::string fingerprint_line(const std::string& file, std::int64_t bytes, const std::string& sha256) {
  return concat(file, " ", bytes, " ", sha256, "\n");
}

/// Checks every shard of the set against the sidecar's entries, and takes the sidecar's facts over.
void apply_sidecar(ShardSet& set, const Path& path, const Json& sidecar, std::string& fingerprint_lines) {
  const Path folder = path.parent_path();
  const std::string where = path.string();
  A48_CHECK(sidecar.at("format").as_string() == kSidecarFormat, ErrorKind::bad_input, where,
            ": the format is \"", sidecar.at("format").as_string(), "\", expected \"", kSidecarFormat, "\"");
  const Json& tokenizer = sidecar.at("tokenizer");
  set.tokenizer_kind = tokenizer.at("kind").as_string();
  set.tokenizer_sha256 = tokenizer.at("sha256").as_string();
  set.vocab_size = sidecar.at("vocab_size").as_int();
  set.bos_id = static_cast<std::int32_t>(sidecar.at("bos_id").as_int());
  set.delimiter = sidecar.at("delimiter").as_string();
  if (set.tokenizer_kind != "bytes") {
    set.tokenizer_file = folder / tokenizer.at("file").as_string();
    const std::string found = sha256_file(set.tokenizer_file);
    A48_CHECK(found == set.tokenizer_sha256, ErrorKind::bad_input, set.tokenizer_file.string(),
              ": its SHA-256 is ", found, ", but ", where, " was made with ", set.tokenizer_sha256);
  }

  std::int64_t total = 0;
  for (const Json& entry : sidecar.at("shards").as_array()) total += entry.at("bytes").as_int();
  const bool hashed = total <= kHashedBytes;
  if (!hashed)
    log::info(concat(folder.string(), ": ", total >> 30,
                     " GiB of shards; sizes and counts are checked, contents are not"));

  std::set<std::string> listed;
  for (const Json& entry : sidecar.at("shards").as_array()) {
    const std::string file = entry.at("file").as_string(), sha256 = entry.at("sha256").as_string();
    const std::int64_t bytes = entry.at("bytes").as_int();
    listed.insert(file);
    fingerprint_lines += fingerprint_line(file, bytes, sha256);
    const Path shard_path = folder / file;
    A48_CHECK(std::filesystem::is_regular_file(shard_path), ErrorKind::bad_input, shard_path.string(),
              ": missing, though ", where, " lists it");
    const auto shard = std::find_if(set.shards.begin(), set.shards.end(),
                                    [&](const auto& s) { return s->path() == shard_path; });
    if (shard == set.shards.end()) continue;  // of another split
    A48_CHECK((*shard)->bytes() == bytes && (*shard)->tokens() == entry.at("tokens").as_int(),
              ErrorKind::bad_input, shard_path.string(), ": ", (*shard)->tokens(), " tokens in ",
              (*shard)->bytes(), " bytes; ", where, " says ", entry.at("tokens").as_int(), " in ", bytes);
    if (!hashed) continue;
    const std::string found = sha256_file(shard_path);
    A48_CHECK(found == sha256, ErrorKind::bad_input, shard_path.string(), ": altered; its SHA-256 is ", found,
              ", ", where, " says ", sha256);
  }
  for (const auto& shard : set.shards) {
    const std::string file = shard->path().filename().string();
    A48_CHECK(set_name(file) != path.stem().string() || listed.contains(file), ErrorKind::bad_input,
              shard->path().string(), ": not listed in ", where, "; is it left over from other data?");
  }
}

/// All shards, and the sidecar, name one tokenizer as far as they name any.
void check_tokenizer(ShardSet& set, std::int64_t vocab) {
  std::string named_by = "the sidecar";
  for (const auto& shard : set.shards) {
    const ShardHeader& header = shard->header();
    A48_CHECK(vocab == 0 || header.tokenizer_size <= vocab, ErrorKind::bad_input, shard->path().string(),
              ": made with a tokenizer of ", header.tokenizer_size, " pieces; the model has a vocabulary of ",
              vocab, ". Set model.vocab_size to at least ", header.tokenizer_size);
    if (header.tokenizer_sha256.empty()) continue;
    if (set.tokenizer_sha256.empty()) {
      set.tokenizer_sha256 = header.tokenizer_sha256;
      named_by = shard->path().string();
    }
    A48_CHECK(header.tokenizer_sha256 == set.tokenizer_sha256, ErrorKind::bad_input, shard->path().string(),
              ": made with another tokenizer (", header.tokenizer_sha256, ") than ", named_by, " says (",
              set.tokenizer_sha256, ")");
  }
}

}  // namespace

std::string shard_header(const ShardHeader& header) {
  A48_ASSERT(header.tokens >= 1 && header.tokens <= kMaxShardTokens, header.tokens);
  HeaderInts ints{};
  const Kind& kind = kKinds[header.width == 2 ? 0 : 1];
  ints[0] = kind.magic;
  ints[1] = kind.version;
  ints[2] = static_cast<std::int32_t>(header.tokens);
  ints[3] = static_cast<std::int32_t>(header.tokenizer_size);
  if (!header.tokenizer_sha256.empty())
    bytes_of_hex(header.tokenizer_sha256, reinterpret_cast<unsigned char*>(ints.data() + 4));
  return std::string(reinterpret_cast<const char*>(ints.data()), sizeof(ints));
}

Shard::Shard(const Path& path) : file_(path), header_(parse_header(file_.bytes(), path.string())) {}

std::uint32_t Shard::token(std::int64_t index) const {
  A48_DEBUG_ASSERT(index >= 0 && index < tokens(), "index ", index, " of ", tokens());
  const std::byte* at = file_.bytes().data() + kShardHeaderBytes + index * header_.width;
  if (header_.width == 2) {
    std::uint16_t value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  std::uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void ShardSet::read(std::size_t shard, std::int64_t begin, std::int64_t count, std::int64_t vocab,
                    std::int64_t* out) const {
  const Shard& source = *shards.at(shard);
  A48_ASSERT(begin >= 0 && count >= 0 && count <= source.tokens() - begin, "begin ", begin, ", count ", count,
             " of ", source.tokens());
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = source.token(begin + i);
    A48_CHECK(out[i] < vocab, ErrorKind::bad_input, source.path().string(), ": token ", begin + i,
              " is the id ", out[i], "; the model's vocabulary has ", vocab, " entries");
  }
}

ShardSet open_shards(const Path& folder, const std::string& glob, std::int64_t vocab,
                     std::optional<std::int64_t> bos_id) {
  ShardSet set;
  if (bos_id) set.bos_id = static_cast<std::int32_t>(*bos_id);
  std::set<std::string> set_names;
  for (const std::string& file : matching_files(folder, glob)) {
    set.shards.push_back(std::make_unique<Shard>(folder / file));
    set.tokens += set.shards.back()->tokens();
    set.vocab_size = std::max(set.vocab_size, set.shards.back()->header().tokenizer_size);
    if (const auto name = set_name(file)) set_names.insert(*name);
  }

  std::string fingerprint_lines;
  for (const std::string& name : set_names) {
    const Path path = folder / (name + ".json");
    if (!std::filesystem::exists(path)) continue;
    const Json sidecar = Json::parse(read_file(path), path.string());
    try {
      apply_sidecar(set, path, sidecar, fingerprint_lines);
      A48_CHECK(!bos_id || set.bos_id == *bos_id, ErrorKind::bad_input, path.string(),
                ": documents begin with the id ", set.bos_id, "; the model's model.bos_token_id is ", *bos_id,
                ". Set it to ", set.bos_id);
    } catch (const Error& error) {
      const std::string message = error.what();  // of a Json accessor: it does not know the file
      fail(error.kind(), message.find(folder.string()) == std::string::npos ? path.string() + ": " : "",
           message);
    }
  }
  if (fingerprint_lines.empty())
    for (const auto& shard : set.shards)
      fingerprint_lines +=
          fingerprint_line(shard->path().filename().string(), shard->bytes(), sha256_file(shard->path()));
  set.fingerprint = sha256_hex(fingerprint_lines);
  check_tokenizer(set, vocab);
  return set;
}

}  // namespace a48::data
