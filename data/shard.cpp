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
#include "data/tokenizer.h"

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

/// A file that a sidecar names: beside it, not somewhere else.
Path listed_file(const Path& sidecar, const std::string& file) {
  A48_CHECK(!file.empty() && Path(file).filename() == file, ErrorKind::bad_input, sidecar.string(),
            ": names the file \"", file,
            "\"; files of a sidecar lie beside it, without folders in their names");
  return sidecar.parent_path() / file;
}

template <typename Value>
void demand_claim(const std::string& where, const char* member, const Value& claimed, const Value& found,
                  const std::string& of) {
  A48_CHECK(claimed == found, ErrorKind::bad_input, where, ": \"", member, "\" is ", claimed, ", but ", of,
            " has ", found);
}

void demand_one_of(const std::string& where, const char* member, const std::string& value,
                   const std::vector<std::string>& allowed) {
  std::string list;
  for (const std::string& one : allowed) list.append(list.empty() ? "" : ", ").append(one);
  A48_CHECK(std::find(allowed.begin(), allowed.end(), value) != allowed.end(), ErrorKind::bad_input, where,
            ": \"", member, "\" is \"", value, "\"; allowed are ", list);
}

/// The tokenizer that a sidecar names, its file altered or not.
std::unique_ptr<runtime::Tokenizer> tokenizer_of(ShardSet& set, const Path& path, const Json& claims) {
  const std::string kind = claims.at("kind").as_string(), sha256 = claims.at("sha256").as_string();
  demand_one_of(path.string(), "tokenizer.kind", kind, {"sentencepiece", "bytes"});
  A48_CHECK(set.tokenizer_sha256.empty() || set.tokenizer_sha256 == sha256, ErrorKind::bad_input,
            path.string(), ": names the tokenizer ", sha256, ", another sidecar of this folder names ",
            set.tokenizer_sha256);
  set.tokenizer_kind = kind;
  set.tokenizer_sha256 = sha256;
  if (kind == "bytes") {
    auto tokenizer = byte_tokenizer();
    demand_claim(path.string(), "tokenizer.sha256", sha256, tokenizer->sha256(), "the byte tokenizer");
    return tokenizer;
  }
  set.tokenizer_file = listed_file(path, claims.at("file").as_string());
  const std::string model = read_file(set.tokenizer_file), found = sha256_hex(model);
  A48_CHECK(found == sha256, ErrorKind::bad_input, set.tokenizer_file.string(), ": its SHA-256 is ", found,
            ", but ", path.string(), " was made with ", sha256);
  return sentencepiece_of(model, set.tokenizer_file.string());
}

/// What the sidecar says about ids, checked against the tokenizer itself and taken over.
void take_facts(ShardSet& set, const Path& path, const Json& sidecar) {
  const std::string where = path.string();
  A48_CHECK(sidecar.at("format").as_string() == kSidecarFormat, ErrorKind::bad_input, where,
            ": the format is \"", sidecar.at("format").as_string(), "\", expected \"", kSidecarFormat, "\"");
  const auto tokenizer = tokenizer_of(set, path, sidecar.at("tokenizer"));
  const std::string of = concat("the ", set.tokenizer_kind, " tokenizer");
  set.vocab_size = sidecar.at("vocab_size").as_int();
  demand_claim(where, "vocab_size", set.vocab_size, tokenizer->vocab_size(), of);
  demand_claim<std::int64_t>(where, "bos_id", sidecar.at("bos_id").as_int(), tokenizer->bos_id(), of);
  demand_claim<std::int64_t>(where, "eos_id", sidecar.at("eos_id").as_int(), tokenizer->eos_id(), of);
  set.bos_id = tokenizer->bos_id();
  set.delimiter = sidecar.at("delimiter").as_string();
  demand_one_of(where, "delimiter", set.delimiter, {"bos", "eos", "both", "none"});
  demand_one_of(where, "dtype", sidecar.at("dtype").as_string(), {"u16", "u32"});
}

/// What the sidecar says about one shard, against its header; the contents are hashed with `hashed`.
void check_listed(const Shard& shard, const Path& path, const Json& sidecar, const Json& entry, bool hashed) {
  const std::string where = path.string(), name = shard.path().string();
  A48_CHECK(shard.bytes() == entry.at("bytes").as_int() && shard.tokens() == entry.at("tokens").as_int(),
            ErrorKind::bad_input, name, ": ", shard.tokens(), " tokens in ", shard.bytes(), " bytes; ", where,
            " says ", entry.at("tokens").as_int(), " in ", entry.at("bytes").as_int());
  demand_claim<std::string>(where, "dtype", sidecar.at("dtype").as_string(),
                            shard.header().width == 2 ? "u16" : "u32", name);
  if (shard.header().tokenizer_size != 0)
    demand_claim(where, "vocab_size", sidecar.at("vocab_size").as_int(), shard.header().tokenizer_size, name);
  const std::int64_t max_id = entry.at("max_id").as_int(), vocab = sidecar.at("vocab_size").as_int();
  A48_CHECK(max_id >= 0 && max_id < vocab, ErrorKind::bad_input, where, ": \"max_id\" of ", name, " is ",
            max_id, "; the tokenizer has the ids 0 to ", vocab - 1);
  if (!hashed) return;
  const std::string found = sha256_file(shard.path()), sha256 = entry.at("sha256").as_string();
  A48_CHECK(found == sha256, ErrorKind::bad_input, name, ": altered; its SHA-256 is ", found, ", ", where,
            " says ", sha256);
}

/// Checks every shard of the set against the sidecar's entries, and takes the sidecar's facts over.
void apply_sidecar(ShardSet& set, const Path& path, const Json& sidecar, std::int64_t hashed_bytes,
                   std::string& fingerprint_lines) {
  take_facts(set, path, sidecar);
  const Json::Array& entries = sidecar.at("shards").as_array();
  std::int64_t total = 0;
  for (const Json& entry : entries) total += entry.at("bytes").as_int();
  const bool hashed = total <= hashed_bytes;
  if (!hashed)
    log::info(concat(path.parent_path().string(), ": ", total >> 30,
                     " GiB of shards; sizes and counts are checked, contents are not"));

  std::set<std::string> listed;
  for (const Json& entry : entries) {
    const std::string file = entry.at("file").as_string();
    listed.insert(file);
    fingerprint_lines += fingerprint_line(file, entry.at("bytes").as_int(), entry.at("sha256").as_string());
    const Path shard_path = listed_file(path, file);
    A48_CHECK(std::filesystem::is_regular_file(shard_path), ErrorKind::bad_input, shard_path.string(),
              ": missing, though ", path.string(), " lists it");
    const auto shard = std::find_if(set.shards.begin(), set.shards.end(),
                                    [&](const auto& s) { return s->path() == shard_path; });
    if (shard == set.shards.end()) continue;  // of another split
    check_listed(**shard, path, sidecar, entry, hashed);
    set.max_ids[static_cast<std::size_t>(shard - set.shards.begin())] = entry.at("max_id").as_int();
  }
  for (const auto& shard : set.shards) {
    const std::string file = shard->path().filename().string();
    A48_CHECK(set_name(file) != path.stem().string() || listed.contains(file), ErrorKind::bad_input,
              shard->path().string(), ": not listed in ", path.string(),
              "; is it left over from other data?");
  }
}

/// All shards, and the sidecar, name one tokenizer as far as they name any.
void check_tokenizer(ShardSet& set) {
  std::string named_by = "the sidecar";
  for (const auto& shard : set.shards) {
    const ShardHeader& header = shard->header();
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

/// Without a sidecar: the byte tokenizer, or the model file beside the shards, whichever the headers name.
void find_tokenizer_of_headers(ShardSet& set, const Path& folder) {
  const Path model_file = folder / kTokenizerFile;
  const bool there = std::filesystem::exists(model_file);
  if (set.tokenizer_sha256.empty()) {
    if (there)
      log::warning(concat(model_file.string(),
                          ": not used, because neither a sidecar nor the headers of the shards name their "
                          "tokenizer; `a48 prepare --tokenizer` makes shards that do"));
    return;
  }
  std::unique_ptr<runtime::Tokenizer> tokenizer = byte_tokenizer();
  if (there) {
    const std::string model = read_file(model_file), found = sha256_hex(model);
    A48_CHECK(found == set.tokenizer_sha256, ErrorKind::bad_input, model_file.string(), ": its SHA-256 is ",
              found, ", but the shards beside it were made with the tokenizer ", set.tokenizer_sha256,
              ". Put that tokenizer's file there");
    tokenizer = sentencepiece_of(model, model_file.string());
    set.tokenizer_file = model_file;
  } else if (set.tokenizer_sha256 != tokenizer->sha256()) {
    return;
  }
  set.tokenizer_kind = tokenizer->kind();
  set.bos_id = tokenizer->bos_id();
  for (const auto& shard : set.shards) {
    const std::int64_t claimed = shard->header().tokenizer_size;
    A48_CHECK(claimed == 0 || claimed == tokenizer->vocab_size(), ErrorKind::bad_input,
              shard->path().string(), ": the header gives the tokenizer ", claimed, " pieces; it has ",
              tokenizer->vocab_size());
  }
  set.vocab_size = tokenizer->vocab_size();
}

void check_bos(const ShardSet& set, const std::string& where, std::optional<std::int64_t> bos_id) {
  A48_CHECK(!bos_id || set.bos_id == *bos_id, ErrorKind::bad_input, where, ": documents begin with the id ",
            set.bos_id, "; the model's model.bos_token_id is ", bos_id.value_or(0), ". Set it to ",
            set.bos_id);
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
                     std::optional<std::int64_t> bos_id, std::int64_t hashed_bytes) {
  ShardSet set;
  if (bos_id) set.bos_id = static_cast<std::int32_t>(*bos_id);
  std::set<std::string> set_names;
  for (const std::string& file : matching_files(folder, glob)) {
    set.shards.push_back(std::make_unique<Shard>(folder / file));
    set.tokens += set.shards.back()->tokens();
    set.vocab_size = std::max(set.vocab_size, set.shards.back()->header().tokenizer_size);
    if (const auto name = set_name(file)) set_names.insert(*name);
  }
  set.max_ids.assign(set.shards.size(), -1);

  std::string fingerprint_lines;
  for (const std::string& name : set_names) {
    const Path path = folder / (name + ".json");
    if (!std::filesystem::exists(path)) continue;
    const Json sidecar = Json::parse(read_file(path), path.string());
    try {
      apply_sidecar(set, path, sidecar, hashed_bytes, fingerprint_lines);
      check_bos(set, path.string(), bos_id);
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
  check_tokenizer(set);
  if (set.tokenizer_kind.empty()) {
    find_tokenizer_of_headers(set, folder);
    check_bos(set, folder.string(), bos_id);
  }
  A48_CHECK(vocab == 0 || set.vocab_size <= vocab, ErrorKind::bad_input, set.shards[0]->path().string(),
            ": made with a tokenizer of ", set.vocab_size, " pieces; the model has a vocabulary of ", vocab,
            ". Set model.vocab_size to at least ", set.vocab_size);
  return set;
}

void check_same_tokenizer(const ShardSet& a, const ShardSet& b) {
  if (a.shards.empty() || b.shards.empty()) return;  // made-up data has no tokenizer
  const std::string first = a.shards.front()->path().string(), second = b.shards.front()->path().string();
  A48_CHECK(
      a.tokenizer_sha256.empty() || b.tokenizer_sha256.empty() || a.tokenizer_sha256 == b.tokenizer_sha256,
      ErrorKind::bad_input, second, ": made with another tokenizer (", b.tokenizer_sha256, ") than ", first,
      " (", a.tokenizer_sha256, "). Prepare both with the same one: a48 prepare --tokenizer FILE");
  A48_CHECK(a.vocab_size == 0 || b.vocab_size == 0 || a.vocab_size == b.vocab_size, ErrorKind::bad_input,
            second, ": made with a tokenizer of ", b.vocab_size, " pieces, ", first, " with one of ",
            a.vocab_size, ". Prepare both with the same one: a48 prepare --tokenizer FILE");
}

}  // namespace a48::data
