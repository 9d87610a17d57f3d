// The reader of packed files: every rule of formats.md 9 refuses a file that breaks it, and says which.
#include "core/runtime/packed_file.h"

#include <functional>
#include <limits>

#include "core/base/json.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/packed_files.h"
#include "tests/support/temp_dir.h"

namespace a48::runtime {
namespace {

using kernels::HeadClass;
using test::assembled;
using test::PackedPart;
using test::parts_of;

constexpr std::int64_t kHeaderBytes = sizeof(PackedHeader), kRecordBytes = sizeof(PackedRecord);

const Buffer<std::byte>& small_file(HeadClass head = HeadClass::bf16) {
  static std::map<HeadClass, Buffer<std::byte>> files;
  const auto [found, inserted] = files.try_emplace(head);
  if (inserted) {
    const PackRequest request = test::small_request(head);
    found->second = pack_model(request, test::random_weights(request.model));
  }
  return found->second;
}

Buffer<std::byte> copy_of(const Buffer<std::byte>& file) {
  Buffer<std::byte> copy(file.size());
  std::memcpy(copy.data(), file.data(), static_cast<std::size_t>(file.size()));
  return copy;
}

PackedModel read(const Buffer<std::byte>& file, Verify verify = Verify::structure) {
  return PackedModel::of_bytes(file.span(), "m.a48", verify);
}

/// Is a file refused, with bad_input and the name of a rule? A crash ends the test.
bool refused(std::span<const std::byte> file, Verify verify) {
  try {
    PackedModel::of_bytes(file, "m.a48", verify);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_input);
    CHECK(std::string(error.what()).find("m.a48: rule ") == 0);
    return true;
  }
  return false;
}

template <typename T>
void put(Buffer<std::byte>& file, std::int64_t offset, T value) {
  std::memcpy(file.data() + offset, &value, sizeof value);
}

void refuses(const Buffer<std::byte>& file, const std::string& rule, const std::string& place,
             const std::string& reason, Verify verify = Verify::structure) {
  INFO(rule << " | " << place << " | " << reason);
  CHECK_ERROR(read(file, verify), ErrorKind::bad_input, "m.a48: " + rule, place, "offset ", reason);
}

PackedPart& part_named(std::vector<PackedPart>& parts, const std::string& name) {
  for (PackedPart& part : parts)
    if (name_of(part.record) == name) return part;
  FAIL("no section " << name);
  return parts[0];
}

using Change = std::function<void(PackedPart&)>;

/// The file with one section changed; hashes, sizes and offsets follow.
Buffer<std::byte> with(const std::string& name, const Change& change, HeadClass head = HeadClass::bf16) {
  std::vector<PackedPart> parts = parts_of(small_file(head).span());
  change(part_named(parts, name));
  return assembled(parts);
}

/// The file with another config.json.
Buffer<std::byte> with_config(const std::function<void(Json&)>& change) {
  return with(section::kConfig, [&](PackedPart& part) {
    Json config = Json::parse(part.payload, "config.json");
    change(config);
    part.payload = config.dump();
  });
}

/// The file with a record changed after its offset was set, hashed again.
Buffer<std::byte> with_record(const std::string& name, const std::function<void(PackedRecord&)>& change) {
  Buffer<std::byte> file = copy_of(small_file());
  const std::vector<PackedPart> parts = parts_of(file.span());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (name_of(parts[i].record) != name) continue;
    PackedRecord record = parts[i].record;
    change(record);
    put(file, kHeaderBytes + static_cast<std::int64_t>(i) * kRecordBytes, record);
  }
  test::hash_again(file.span());
  return file;
}

const std::string kUpName = layer_tensor(0, section::kUp), kQName = layer_tensor(1, section::kQ),
                  kDownName = layer_tensor(0, section::kDown),
                  kNormName = layer_tensor(0, section::kPostNorm);

}  // namespace

TEST_CASE("packed files: every truncation is refused, so is every longer file") {
  const Buffer<std::byte>& file = small_file();
  for (std::int64_t size = 0; size < file.size(); ++size)
    if (!refused(file.span().first(static_cast<std::size_t>(size)), Verify::structure)) FAIL("size " << size);
  Buffer<std::byte> longer(file.size() + 64);
  std::memcpy(longer.data(), file.data(), static_cast<std::size_t>(file.size()));
  refuses(longer, "rule 1", "the header", "file_bytes");
  const test::TempDir dir;
  write_file(dir / "empty.a48", "");
  CHECK_ERROR(PackedModel::open(dir / "empty.a48"), ErrorKind::bad_input, "empty.a48: rule 1", "0 bytes");
  CHECK_ERROR(PackedModel::open(dir / "none.a48"), ErrorKind::bad_input, "none.a48");
  CHECK_ERROR(PackedModel::open(dir.path()), ErrorKind::bad_input, "regular file");
}

TEST_CASE("packed files: every flipped bit of header and records is refused by a hash") {
  Buffer<std::byte> file = copy_of(small_file());
  const std::int64_t records = static_cast<std::int64_t>(parts_of(file.span()).size());
  for (std::int64_t i = 0; i < kHeaderBytes + records * kRecordBytes; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      file[i] ^= static_cast<std::byte>(1 << bit);
      if (!refused(file.span(), Verify::structure)) FAIL("byte " << i << ", bit " << bit);
      file[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
}

TEST_CASE("packed files: a flipped bit whose hashes fit is refused by the rule of its field") {
  const Buffer<std::byte>& good = small_file();
  const std::vector<PackedPart> parts = parts_of(good.span());
  const std::int64_t records = static_cast<std::int64_t>(parts.size());
  for (std::int64_t i = 0; i < kHeaderBytes + records * kRecordBytes; ++i) {
    const std::int64_t in_record = i < kHeaderBytes ? -1 : (i - kHeaderBytes) % kRecordBytes;
    const auto within = [](std::int64_t at, std::size_t begin, std::size_t end) {
      return at >= static_cast<std::int64_t>(begin) && at < static_cast<std::int64_t>(end);
    };
    const bool minor = within(i, offsetof(PackedHeader, minor), offsetof(PackedHeader, header_bytes));
    const bool recomputed = within(i, offsetof(PackedHeader, table_sha256), sizeof(PackedHeader));
    const bool scale = within(in_record, offsetof(PackedRecord, scale), offsetof(PackedRecord, zero));
    const bool text =
        i >= kHeaderBytes &&
        parts[static_cast<std::size_t>((i - kHeaderBytes) / kRecordBytes)].record.kind != SectionKind::tensor;
    const bool of_payload =
        within(in_record, offsetof(PackedRecord, sha256), offsetof(PackedRecord, rest)) ||
        (text && within(in_record, offsetof(PackedRecord, bytes), offsetof(PackedRecord, scale)));
    for (int bit = 0; bit < 8; ++bit) {
      Buffer<std::byte> file = copy_of(good);
      file[i] ^= static_cast<std::byte>(1 << bit);
      test::hash_again(file.span());
      const bool structure = refused(file.span(), Verify::structure);
      INFO("byte " << i << ", in its record " << in_record << ", bit " << bit);
      if (minor || recomputed) {
        CHECK_FALSE(structure);
      } else if (of_payload) {
        if (!structure && !refused(file.span(), Verify::full)) FAIL_CHECK("accepted");
      } else if (!scale && !structure) {  // any finite scale > 0 may be meant
        FAIL_CHECK("accepted");
      }
    }
  }
}

TEST_CASE("packed files, rule 1: what is no packed model, or another version's") {
  struct Broken {
    std::size_t offset;
    std::uint64_t value;
    std::size_t bytes;
    const char* reason;
  };
  const Broken header[] = {{0, 0x41, 1, "no packed model"},
                           {offsetof(PackedHeader, major), 2, 2, "version 2.0"},
                           {offsetof(PackedHeader, major), 0, 2, "version 0.0"},
                           {offsetof(PackedHeader, header_bytes), 192, 4, "header_bytes 192"},
                           {offsetof(PackedHeader, record_bytes), 128, 4, "record_bytes 128"},
                           {offsetof(PackedHeader, file_bytes), 128, 8, "file_bytes 128"},
                           {offsetof(PackedHeader, file_bytes), ~std::uint64_t{0}, 8, "truncated"},
                           {offsetof(PackedHeader, zero) + 19, 1, 1, "reserved"}};
  for (const Broken& broken : header) {
    Buffer<std::byte> file = copy_of(small_file());
    std::memcpy(file.data() + broken.offset, &broken.value, broken.bytes);
    test::hash_again(file.span());
    refuses(file, "rule 1", "the header, offset ", broken.reason);
  }
}

TEST_CASE("packed files, rule 2: hashes, features, numerics, number of sections") {
  struct Broken {
    std::size_t offset;
    std::uint64_t value;
    std::size_t bytes;
    const char* reason;
  };
  const Broken header[] = {{offsetof(PackedHeader, required_features), 1, 8, "required_features 1"},
                           {offsetof(PackedHeader, required_features) + 7, 0x80, 1, "required_features"},
                           {offsetof(PackedHeader, numerics), 2, 4, "numerics 2"},
                           {offsetof(PackedHeader, n_sections), 0, 4, "n_sections 0"},
                           {offsetof(PackedHeader, n_sections), 65537, 4, "n_sections 65537"},
                           {offsetof(PackedHeader, n_sections), 0xFFFFFFFF, 4, "n_sections 4294967295"},
                           {offsetof(PackedHeader, n_sections), 65536, 4, "65536 records end at byte"}};
  for (const Broken& broken : header) {
    Buffer<std::byte> file = copy_of(small_file());
    std::memcpy(file.data() + broken.offset, &broken.value, broken.bytes);
    test::hash_again(file.span());
    refuses(file, "rule 2", "the header, offset ", broken.reason);
  }
  Buffer<std::byte> file = copy_of(small_file());
  file[offsetof(PackedHeader, header_sha256)] ^= std::byte{1};
  refuses(file, "rule 2", "the header, offset 96", "header_sha256");
  file = copy_of(small_file());
  file[kHeaderBytes + 5] ^= std::byte{1};
  refuses(file, "rule 2", "the header, offset 64", "table_sha256");
}

TEST_CASE("packed files, rule 3: each field of a record") {
  const std::string section_up = "section \"" + kUpName + "\"";
  const auto up = [&](const std::function<void(PackedRecord&)>& change, const std::string& reason) {
    refuses(with_record(kUpName, change), "rule 3", section_up, reason);
  };
  constexpr std::uint64_t kHuge[] = {std::uint64_t{1} << 63, ~std::uint64_t{0}, (std::uint64_t{1} << 63) - 1,
                                     std::uint64_t{1} << 32};
  up([](PackedRecord& r) { r.layout = SectionLayout{19}; }, "layout 19");
  up([](PackedRecord& r) { r.layout = SectionLayout::none; }, "layout 0");
  up([](PackedRecord& r) { r.layout = SectionLayout::t2_row4; }, "bytes");
  up([](PackedRecord& r) { r.flags = 2; }, "flags 2");
  up([](PackedRecord& r) { r.group = 32; }, "group 32");
  up([](PackedRecord& r) { r.rows = 0; }, "rows 0");
  up([](PackedRecord& r) { r.rows = 1 << 24; }, "rows 16777216");
  up([](PackedRecord& r) { r.cols = 0; }, "cols 0");
  up([](PackedRecord& r) { r.cols = (1 << 17) + 1; }, "cols 131073");
  up([](PackedRecord& r) { r.stride += 64; }, "stride 128; expected 64");
  up([](PackedRecord& r) { r.bytes += 64; }, "bytes");
  up([](PackedRecord& r) { r.bytes = 0; }, "bytes 0");
  up([](PackedRecord& r) { r.offset += 64; }, "offset");
  up([](PackedRecord& r) { r.offset -= 64; }, "offset");
  up([](PackedRecord& r) { r.offset += 1; }, "offset");
  for (const std::uint64_t huge : kHuge) {
    up([=](PackedRecord& r) { r.rows = huge; }, "rows");
    up([=](PackedRecord& r) { r.cols = huge; }, "cols");
    up([=](PackedRecord& r) { r.stride = huge; }, "stride");
    up([=](PackedRecord& r) { r.bytes = huge; }, "bytes");
    up([=](PackedRecord& r) { r.offset = huge; }, "offset");
    up([=](PackedRecord& r) { r.nonzero = huge; }, "nonzero");
  }
  for (const float scale :
       {0.0f, -1.0f, -0.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    up([=](PackedRecord& r) { r.scale = scale; }, "scale");
  up([](PackedRecord& r) { r.zero = 1; }, "reserved");
  up([](PackedRecord& r) { r.rest[23] = 1; }, "reserved");

  refuses(with_record(kNormName, [](PackedRecord& r) { r.scale = 1.0f; }), "rule 3", kNormName,
          "not ternary");
  refuses(with_record(kNormName, [](PackedRecord& r) { r.scale = -0.0f; }), "rule 3", kNormName,
          "not ternary");
  refuses(with_record(kNormName, [](PackedRecord& r) { r.nonzero = 1; }), "rule 3", kNormName, "not ternary");
  refuses(with_record(section::kConfig, [](PackedRecord& r) { r.rows = 1; }), "rule 3", "config.json",
          "no tensor");
  refuses(with_record(section::kConfig, [](PackedRecord& r) { r.kind = SectionKind{0}; }), "rule 3",
          "config.json", "kind 0");
  refuses(with_record(section::kConfig, [](PackedRecord& r) { r.kind = SectionKind{4}; }), "rule 3",
          "config.json", "kind 4");
  refuses(with_record(section::kProvenance, [](PackedRecord& r) { r.bytes = 0; }), "rule 3", "provenance",
          "empty");
  refuses(with_record(section::kProvenance, [](PackedRecord& r) { r.bytes = ~std::uint64_t{0} - 100; }),
          "rule 3", "provenance", "ends at byte");
}

TEST_CASE("packed files, rule 3: names are proper and unique, sections neither overlap nor leave holes") {
  const auto renamed = [](const std::string& name) {
    return with_record(kUpName, [&](PackedRecord& r) { test::set_name(r, name); });
  };
  refuses(renamed(""), "rule 3", "section", "no proper name");
  refuses(renamed("a b"), "rule 3", "section", "no proper name");
  refuses(renamed("a/b"), "rule 3", "section", "no proper name");
  refuses(renamed(std::string(64, 'x')), "rule 3", "section", "no proper name");
  refuses(with_record(kUpName, [](PackedRecord& r) { r.name[63] = 'x'; }), "rule 3", "section",
          "no proper name");
  refuses(renamed(std::string(63, 'x')), "rule 3", "section", "does not know");
  refuses(renamed(kNormName), "rule 3", kNormName, "another section has this name");
  refuses(renamed("model.layers.0.mlp.side_proj.weight"), "rule 3", "side_proj", "does not know");

  const std::vector<PackedPart> parts = parts_of(small_file().span());
  std::uint64_t before = 0;
  for (const PackedPart& part : parts) {
    if (name_of(part.record) == kUpName)
      refuses(with_record(kUpName, [&](PackedRecord& r) { r.offset = before; }), "rule 3", kUpName, "offset");
    before = part.record.offset;
  }
  // The same records, with 64 bytes more before the last section, or behind it.
  std::vector<PackedPart> shorter = parts;
  shorter.pop_back();
  Buffer<std::byte> hole = assembled(parts);
  put(hole, static_cast<std::int64_t>(offsetof(PackedHeader, n_sections)),
      static_cast<std::uint32_t>(shorter.size()));
  test::hash_again(hole.span());
  refuses(hole, "rule 3", "config.json", "offset");
}

TEST_CASE("packed files, rule 4: config.json has limits") {
  const auto config = [](const std::string& text) {
    return with(section::kConfig, [&](PackedPart& part) { part.payload = text; });
  };
  refuses(config("{"), "rule 4", "config.json", "");
  refuses(config("[]"), "rule 4", "config.json", "not an object");
  refuses(config("{} {}"), "rule 4", "config.json", "");
  refuses(config("{\"a\": 1, \"a\": 2}"), "rule 4", "config.json", "a");
  refuses(config("{\"a\": " + std::string(16, '[') + std::string(16, ']') + "}"), "rule 4", "config.json",
          "nests deeper than 16");
  refuses(config("{\"a\": " + std::string(200000, '[')), "rule 4", "config.json", "");
  refuses(config(std::string(kMaxConfigBytes + 1, ' ')), "rule 4", "config.json", "allowed are 1048576");
  refuses(with(section::kProvenance, [](PackedPart& part) { part.payload = "no JSON"; }), "rule 4",
          "provenance.json", "");
  refuses(with(section::kGenerationConfig, [](PackedPart& part) { part.payload = "{\"a\": 1,}"; }), "rule 4",
          "generation_config.json", "");
}

TEST_CASE("packed files, rule 4: config.json describes a model that the runtime knows") {
  const auto refuses_config = [](const std::function<void(Json&)>& change, const std::string& reason) {
    refuses(with_config(change), "rule 4", "config.json", reason);
  };
  const auto a48 = [&](const char* key, const Json& value, const std::string& reason) {
    refuses_config([&](Json& c) { c["a48"][key] = value; }, reason);
  };
  const auto top = [&](const char* key, const Json& value, const std::string& reason) {
    refuses_config([&](Json& c) { c[key] = value; }, reason);
  };
  top("model_type", "llama", "model_type: \"llama\"");
  top("a48", 1, "a48");
  refuses_config([](Json& c) { c = Json::parse("{\"model_type\": \"bitnet\"}", ""); }, "a48: missing");
  a48("format", 2, "a48.format: 2");
  a48("numerics", 2, "a48.numerics: 2");
  a48("mode", "v2", "mode");
  a48("mode", "w2", "mode");
  a48("mode", 4, "a48.mode");
  a48("weights", "fp", "weights: fp");
  a48("qkv", "fp", "qkv: fp");
  a48("down", "int5", "down");
  a48("topk_keep_o", 0.0, "topk_keep_o");
  a48("topk_keep_o", 1.5, "topk_keep_o");
  a48("sub_norm", 1, "sub_norm");
  a48("kv_bits", 5, "kv_bits");
  a48("kv_bits", "3", "a48.kv_bits");
  a48("q_bits", 4, "q_bits");
  a48("bos_bits", 5, "bos_bits");
  a48("tokenizer", "bpe", "a48.tokenizer: \"bpe\"");
  a48("tokens_seen", -1, "tokens_seen");
  a48("source_sha256", nullptr, "source_sha256");
  top("vocab_size", 0, "vocab_size");
  top("vocab_size", 37.5, "vocab_size");
  top("hidden_size", -24, "hidden_size");
  top("hidden_size", std::int64_t{1} << 62, "hidden_size");
  top("num_hidden_layers", 1 << 30, "num_hidden_layers");
  top("num_attention_heads", 0, "num_attention_heads");
  top("num_attention_heads", 5, "num_attention_heads");
  top("num_key_value_heads", 3, "num_key_value_heads");
  top("hidden_act", "gelu", "hidden_act");
  top("rms_norm_eps", 0.0, "rms_norm_eps");
  top("bos_token_id", 37, "bos_token_id");
  top("max_position_embeddings", 0, "max_position_embeddings");
  top("tie_word_embeddings", "yes", "tie_word_embeddings");
}

TEST_CASE("packed files, rule 4: the sections are those that config.json implies, in their order") {
  const auto implied = [](const std::function<void(Json&)>& change, const std::string& reason) {
    INFO(reason);
    CHECK_ERROR(read(with_config(change)), ErrorKind::bad_input, "m.a48: rule 4", "section", "implies",
                reason);
  };
  implied([](Json& c) { c["vocab_size"] = 38; }, "shape 37 x 24; config.json implies 38 x 24");
  implied([](Json& c) { c["hidden_size"] = 32; }, "37 x 32");
  implied([](Json& c) { c["intermediate_size"] = 64; }, "64 x 24");
  implied([](Json& c) { c["num_hidden_layers"] = 3; }, "model.layers.2.input_layernorm.weight");
  implied([](Json& c) { c["num_hidden_layers"] = 1; }, "model.norm.weight");
  implied([](Json& c) { c["num_key_value_heads"] = 4; }, "24 x 24");
  implied([](Json& c) { c["tie_word_embeddings"] = true; }, "the end of the file");
  implied([](Json& c) { c["a48"]["sub_norm"] = false; }, "o_proj");
  implied([](Json& c) { c["a48"]["tokenizer"] = "sentencepiece"; }, "tokenizer.model");

  const auto rearranged = [](const std::function<void(std::vector<PackedPart>&)>& change,
                             const std::string& place, const std::string& reason) {
    std::vector<PackedPart> parts = parts_of(small_file().span());
    change(parts);
    refuses(assembled(parts), "rule 4", place, reason);
  };
  rearranged([](auto& parts) { std::swap(parts[0], parts[1]); }, "generation_config.json",
             "implies config.json here");
  rearranged([](auto& parts) { std::swap(parts[5], parts[6]); }, "section", "implies");
  rearranged([](auto& parts) { parts.pop_back(); }, "the table", "lm_head.weight is missing");
  rearranged([](auto& parts) { parts.erase(parts.begin()); }, "config.json", "missing");
  rearranged([](auto& parts) { parts.erase(parts.begin() + 2); }, "model.embed_tokens.weight",
             "implies provenance.json");
  rearranged([](auto& parts) { part_named(parts, kQName).record.flags = 1; }, kQName, "optional");
  rearranged(
      [](auto& parts) {
        PackedPart& part = part_named(parts, section::kConfig);
        part.record.kind = SectionKind::bytes;
      },
      "config.json", "no JSON");
  rearranged(
      [](auto& parts) {
        PackedPart& part = part_named(parts, layer_tensor(0, section::kDown));
        part.record.layout = SectionLayout::t2_row;
        part.payload.resize(24 * 64, 0x55);
      },
      kDownName, "layout 16; expected 17");
  rearranged(
      [](auto& parts) {
        PackedPart& part = part_named(parts, kQName);
        part.record.layout = SectionLayout::t2_row;
        part.record.stride = 64;
        part.payload.resize(24 * 64, 0x55);
      },
      kQName, "layout 16; expected 18");
  rearranged(
      [](auto& parts) {
        PackedPart norm = part_named(parts, section::kFinalNorm);
        test::set_name(norm.record, "model.layers.00.input_layernorm.weight");
        parts.push_back(norm);
      },
      "model.layers.00.", "the end of the file");
}

TEST_CASE("packed files: unknown optional sections and a higher minor version are accepted") {
  std::vector<PackedPart> parts = parts_of(small_file().span());
  PackedPart extra{};
  test::set_name(extra.record, "notes.txt");
  extra.record.kind = SectionKind::bytes;
  extra.payload = "a note";
  parts.insert(parts.begin() + 5, extra);
  refuses(assembled(parts), "rule 3", "notes.txt", "not optional");
  parts[5].record.flags = kOptionalSection;
  CHECK(read(assembled(parts), Verify::full).model().vocab_size == 37);
  CHECK(read(assembled(parts, 7), Verify::full).sections()[5].name == "notes.txt");

  PackedPart tokenizer = extra;
  test::set_name(tokenizer.record, section::kTokenizerJson);
  tokenizer.record.kind = SectionKind::json;
  tokenizer.payload = "{}";
  parts = parts_of(small_file().span());
  parts.insert(parts.begin() + 3, tokenizer);
  CHECK(read(assembled(parts), Verify::full).model().vocab_size == 37);
  std::swap(parts[3], parts[4]);
  refuses(assembled(parts), "rule 4", "tokenizer.json", "implies");
}

TEST_CASE("packed files, rule 5: every damaged payload byte is found by full verification, and only then") {
  Buffer<std::byte> file = copy_of(small_file(HeadClass::i4));
  const std::int64_t records = static_cast<std::int64_t>(parts_of(file.span()).size());
  std::int64_t structure = 0;
  for (std::int64_t i = kHeaderBytes + records * kRecordBytes; i < file.size(); i += 3) {
    file[i] ^= std::byte{0x10};
    if (!refused(file.span(), Verify::full)) FAIL("byte " << i);
    structure += refused(file.span(), Verify::structure);  // the JSON sections
    file[i] ^= std::byte{0x10};
  }
  CHECK(structure < 1000);
  CHECK_FALSE(refused(file.span(), Verify::full));
}

TEST_CASE("packed files, rule 5: gaps, padding, codes, counts and floats, hashes that fit") {
  const auto payload = [](const std::string& name, std::size_t byte, int value, const std::string& reason,
                          HeadClass head = HeadClass::bf16) {
    const Buffer<std::byte> file = with(
        name, [&](PackedPart& part) { part.payload.at(byte) = static_cast<char>(value); }, head);
    CHECK_FALSE(refused(file.span(), Verify::structure));
    refuses(file, "rule 5", "section \"" + name + "\", offset", reason, Verify::full);
  };
  // up [65, 24] in T2_ROW: byte j holds inputs j, 32+j …, of which 24 exist.
  payload(kUpName, 0, 0x57, "invalid code 3");
  payload(kUpName, 23, 0x59, "padding of code 2");
  payload(kUpName, 24, 0x54, "padding of code 0");
  payload(kUpName, 63, 0x15, "padding of code 0");
  // q [24, 24] in T2_ROW4, 24 of 64 bytes; gate [65, 24], one row in the last group of four.
  payload(kQName, 24, 0x56, "padding of code 2");
  payload(layer_tensor(0, section::kGate), 16 * 64, 0x50 | 0x08, "padding of code 2");
  // down [24, 65] in T2_COL: 65 stored rows with 24 outputs.
  payload(kDownName, 64 * 64 + 24, 0x54, "padding of code 0");
  const auto not_finite = [](const std::string& name, const std::string& number, HeadClass head) {
    const Buffer<std::byte> file = with(
        name, [&](PackedPart& part) { part.payload.replace(0, number.size(), number); }, head);
    refuses(file, "rule 5", name, "expected a finite number", Verify::full);
  };
  not_finite(kNormName, std::string("\x00\x00\x80\x7F", 4), HeadClass::bf16);
  not_finite(section::kEmbedding, "\xC0\x7F", HeadClass::bf16);
  not_finite(section::kEmbedding, std::string("\x01\x00\x80\xFF", 4), HeadClass::f32);
  not_finite(section::kHeadScales, std::string("\x00\x00\x80\xFF", 4), HeadClass::i8);
  not_finite(section::kHeadScales, std::string("\x00\xFC", 2), HeadClass::i6);
  payload(kNormName, 24 * 4, 1, "padding byte 1");
  payload(section::kEmbedding, 63, 1, "padding byte 1");
  payload(section::kHead, 5, 0x80, "-128", HeadClass::i8);
  payload(section::kHead, 24, 1, "padding byte 1", HeadClass::i8);
  payload(section::kHeadScales, 37 * 4, 1, "padding byte 1", HeadClass::i8);
  payload(section::kHead, 3, 0x80, "u = 0 at input 3", HeadClass::i4);
  payload(section::kHead, 24, 0x89, "padding of code 1", HeadClass::i4);
  payload(section::kHead, 63, 0x78, "padding of code -1", HeadClass::i4);
  payload(section::kHeadScales, 1, 0x7C, "finite", HeadClass::i4);
  payload(section::kHead, 24, 1, "padding of code 1", HeadClass::i6);
  payload(section::kHead, 64 + 24, 0xAB, "padding of code 16", HeadClass::i6);

  Buffer<std::byte> file = with(kUpName, [](PackedPart& part) { ++part.record.nonzero; });
  refuses(file, "rule 5", kUpName, "the record says", Verify::full);
  file = copy_of(small_file());
  const PackedRecord config = parts_of(file.span())[0].record;
  REQUIRE(config.bytes % 64 != 0);
  file[static_cast<std::int64_t>(config.offset + config.bytes)] = std::byte{1};
  CHECK_FALSE(refused(file.span(), Verify::structure));
  refuses(file, "rule 5", "config.json", "in the gap", Verify::full);
}

TEST_CASE("packed files: both invalid i6 codes are found") {
  const Buffer<std::byte> file = with(
      section::kHead,
      [](PackedPart& part) {
        part.payload[2] = static_cast<char>(part.payload[2] & 0xF0);
        part.payload[64 + 2] = static_cast<char>(part.payload[64 + 2] & 0xFC);
      },
      HeadClass::i6);
  refuses(file, "rule 5", section::kHead, "u = 0 at input 2", Verify::full);
}

TEST_CASE("packed files: sections are listed with layout, shape, place and hash") {
  const PackedModel model = read(small_file(HeadClass::i6));
  const auto find = [&](const std::string& name) {
    for (const PackedSection& section : model.sections())
      if (section.name == name) return section;
    return PackedSection{};
  };
  CHECK(find(section::kConfig).layout == "JSON");
  CHECK(find(section::kEmbedding).layout == "BF16");
  CHECK(find(section::kHead).layout == "I6_ROW");
  CHECK(find(section::kHeadScales).layout == "F16");
  const PackedSection up = find(kUpName);
  CHECK(up.layout == "T2_ROW");
  CHECK(up.rows == 65);
  CHECK(up.cols == 24);
  CHECK(up.bytes == 65 * 64);
  CHECK(up.offset % 64 == 0);
  CHECK(up.scale == model.layers()[0].up.alpha);
  CHECK(up.nonzero > 0);
  CHECK(up.sha256.size() == 64);
}

}  // namespace a48::runtime
