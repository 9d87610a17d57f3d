// From mapped bytes to a model: rules 1 to 4 of formats.md 9 in their order, then views. Nothing is used
// before it is checked. What config.json implies: packed_contents.cpp; the payloads: packed_payload.cpp.
#include "core/runtime/packed_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/runtime/packed_contents.h"
#include "core/runtime/packed_rules.h"

namespace a48::runtime {
namespace {

/// Weights of this size and more are copied to pages of 2 MiB: the file's own pages of 4 KiB cost a decoded
/// token 1.4 to 1.8 times the time in address translations.
constexpr std::size_t kLargePagesFrom = 32 << 20;

constexpr int kMaxJsonDepth = 16;

std::uint64_t record_offset(std::uint64_t i) { return sizeof(PackedHeader) + i * sizeof(PackedRecord); }

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

/// Rules 1 and 2. Returns the header; the table lies inside the file.
PackedHeader read_header(std::span<const std::byte> file, const std::string& source) {
  PackedHeader header;
  const auto at = [&](int rule, std::uint64_t offset) { return Where{source, rule, "the header", offset}; };
  require(file.size() >= sizeof header, at(1, 0), file.size(), " bytes; a packed model has at least ",
          sizeof header);
  std::memcpy(&header, file.data(), sizeof header);
  require(header.magic == kPackedMagic, at(1, 0), "this is no packed model (*.a48)");
  require(header.major == kPackedMajor, at(1, offsetof(PackedHeader, major)), "version ", header.major, ".",
          header.minor, "; this program reads version ", kPackedMajor);
  require(header.header_bytes == sizeof header, at(1, offsetof(PackedHeader, header_bytes)), "header_bytes ",
          header.header_bytes, "; expected ", sizeof header);
  require(header.record_bytes == sizeof(PackedRecord), at(1, offsetof(PackedHeader, record_bytes)),
          "record_bytes ", header.record_bytes, "; expected ", sizeof(PackedRecord));
  require(header.file_bytes == file.size() && header.file_bytes % kPackedAlignment == 0,
          at(1, offsetof(PackedHeader, file_bytes)), "file_bytes ", header.file_bytes, ", and the file has ",
          file.size(), "; expected equal multiples of ", kPackedAlignment,
          file.size() < header.file_bytes ? ". It is truncated: copy or export it again" : "");
  require(all_zero(header.zero), at(1, offsetof(PackedHeader, zero)), "reserved bytes that are not zero");

  const std::string hash = sha256_of(file.first(offsetof(PackedHeader, header_sha256)));
  require(hash == hex(header.header_sha256), at(2, offsetof(PackedHeader, header_sha256)), "header_sha256 ",
          hex(header.header_sha256), ", but its bytes give ", hash);
  require(header.required_features == 0, at(2, offsetof(PackedHeader, required_features)),
          "required_features ", header.required_features, "; this program knows none");
  require(header.numerics == kPackedNumerics, at(2, offsetof(PackedHeader, numerics)), "numerics ",
          header.numerics, "; this program computes by revision ", kPackedNumerics);
  require(header.n_sections >= 1 && header.n_sections <= kMaxSections,
          at(2, offsetof(PackedHeader, n_sections)), "n_sections ", header.n_sections, "; allowed are 1 to ",
          kMaxSections);
  const std::uint64_t table_end = record_offset(header.n_sections);
  require(table_end <= file.size(), at(2, offsetof(PackedHeader, n_sections)), header.n_sections,
          " records end at byte ", table_end, " of a file of ", file.size());
  const std::string table = sha256_of(file.subspan(sizeof header, table_end - sizeof header));
  require(table == hex(header.table_sha256), at(2, offsetof(PackedHeader, table_sha256)), "table_sha256 ",
          hex(header.table_sha256), ", but the records give ", table);
  return header;
}

// Rule 3
// ---------------------------------------------------------------------------------------------------------------------

/// Of a section that is no tensor: all numbers of a matrix are zero.
void check_plain_record(const PackedRecord& r, const Where& where) {
  require(r.layout == SectionLayout::none && r.group == 0 && r.rows == 0 && r.cols == 0 && r.stride == 0,
          where, "layout ", static_cast<std::uint32_t>(r.layout), ", group ", r.group, ", rows ", r.rows,
          ", cols ", r.cols, ", stride ", r.stride, "; expected zeros, since it is no tensor");
}

void check_tensor_record(const PackedRecord& r, const Where& where) {
  const LayoutRow* const layout = layout_row(r.layout);
  require(layout != nullptr, where, "layout ", static_cast<std::uint32_t>(r.layout), " is unknown");
  require(r.group == layout->group, where, "group ", r.group, "; expected ", layout->group, " for ",
          layout->name);
  require(r.rows >= 1 && r.rows <= kMaxStoredRows, where, "rows ", r.rows, "; allowed are 1 to ",
          kMaxStoredRows);
  const std::uint64_t most_cols = is_float(r.layout) && r.rows == 1 ? kMaxStoredRows : kMaxStoredCols;
  require(r.cols >= 1 && r.cols <= most_cols, where, "cols ", r.cols, "; allowed are 1 to ", most_cols);
  // Within these limits no product exceeds 2^24 · 2^26.
  const auto rows = static_cast<std::int64_t>(r.rows), cols = static_cast<std::int64_t>(r.cols);
  const auto stride = static_cast<std::uint64_t>(stride_of(r.layout, rows, cols));
  require(r.stride == stride, where, "stride ", r.stride, "; expected ", stride);
  const std::uint64_t bytes = static_cast<std::uint64_t>(stored_rows(r.layout, rows, cols)) * stride;
  require(r.bytes == bytes, where, "bytes ", r.bytes, "; expected ", bytes);
}

void check_ternary_numbers(const PackedRecord& r, const Where& where) {
  if (is_ternary(r.layout)) {
    require(std::isfinite(r.scale) && r.scale > 0.0f, where, "scale ", r.scale,
            "; allowed are finite numbers > 0");
    require(r.nonzero <= r.rows * r.cols, where, "nonzero ", r.nonzero, " of ", r.rows * r.cols, " weights");
  } else {
    std::uint32_t bits;
    std::memcpy(&bits, &r.scale, sizeof bits);
    require(bits == 0 && r.nonzero == 0, where, "scale ", r.scale, ", nonzero ", r.nonzero,
            "; expected zeros, since it is not ternary");
  }
}

std::vector<PackedRecord> read_records(std::span<const std::byte> file, const PackedHeader& header,
                                       const std::string& source) {
  std::vector<PackedRecord> records(header.n_sections);
  std::memcpy(records.data(), file.data() + sizeof header, records.size() * sizeof(PackedRecord));
  std::unordered_set<std::string> names;
  std::uint64_t next = aligned(record_offset(header.n_sections));
  for (std::uint64_t i = 0; i < records.size(); ++i) {
    const PackedRecord& r = records[i];
    const Where where{source, 3, quoted_section(r), record_offset(i)};
    const std::string name = name_of(r);
    require(!name.empty(), where, "record ", i,
            " has no proper name; allowed are 1 to 63 of A-Z a-z 0-9 . _ -, padded with zeros");
    require(names.insert(name).second, where, "another section has this name");
    const bool tensor = r.kind == SectionKind::tensor;
    require(tensor || r.kind == SectionKind::json || r.kind == SectionKind::bytes, where, "kind ",
            static_cast<std::uint32_t>(r.kind), "; allowed are 1 to 3");
    require((r.flags & ~kOptionalSection) == 0, where, "flags ", r.flags, "; only bit 0 is known");
    require(is_known_section(name) || (r.flags & kOptionalSection) != 0, where,
            "this program does not know the section, and it is not optional");
    if (tensor)
      check_tensor_record(r, where);
    else
      check_plain_record(r, where);
    check_ternary_numbers(r, where);
    require(r.zero == 0 && all_zero(r.rest), where, "reserved bytes that are not zero");
    require(r.bytes > 0, where, "it is empty");
    require(r.offset == next, where, "offset ", r.offset, "; expected ", next,
            ", where the section before it ends");
    require(r.offset <= file.size() && r.bytes <= file.size() - r.offset, where, "it ends at byte ", r.offset,
            " + ", r.bytes, " of a file of ", file.size());
    next = aligned(r.offset + r.bytes);
  }
  require(next == file.size(),
          Where{source, 3, quoted_section(records.back()), record_offset(records.size() - 1)},
          "the last section ends at byte ", next, " of a file of ", file.size());
  return records;
}

// Rule 4
// ---------------------------------------------------------------------------------------------------------------------

int depth_of(const Json& json) {
  int deepest = 0;
  if (json.is_array())
    for (const Json& element : json.as_array()) deepest = std::max(deepest, depth_of(element));
  if (json.is_object())
    for (const auto& [key, value] : json.as_object()) deepest = std::max(deepest, depth_of(value));
  return json.is_array() || json.is_object() ? deepest + 1 : 0;
}

/// The records by name, and how to say where one is.
class Sections {
 public:
  Sections(std::span<const std::byte> file, const std::vector<PackedRecord>& records,
           const std::string& source)
      : file_(file), records_(records), source_(source) {
    for (const PackedRecord& record : records) by_name_.emplace(name_of(record), &record);
  }

  const PackedRecord* find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  const PackedRecord& at(const std::string& name) const {
    const PackedRecord* const record = find(name);
    require(record != nullptr, Where{source_, 4, "section \"" + name + "\"", sizeof(PackedHeader)},
            "it is missing");
    return *record;
  }
  Where where(const PackedRecord& record) const {
    return {source_, 4, quoted_section(record), record.offset};
  }
  Where where_in_table(const PackedRecord& record) const {
    return {source_, 4, quoted_section(record),
            record_offset(static_cast<std::uint64_t>(&record - records_.data()))};
  }
  const std::byte* data(const PackedRecord& record) const { return file_.data() + record.offset; }
  std::string_view text(const PackedRecord& record) const {
    return {reinterpret_cast<const char*>(data(record)), record.bytes};
  }

  Json json(const std::string& name) const {
    const PackedRecord& record = at(name);
    require(record.kind == SectionKind::json, where_in_table(record), "it is no JSON section");
    require(record.bytes <= kMaxConfigBytes, where(record), record.bytes, " bytes; allowed are ",
            kMaxConfigBytes);
    const Json json = Json::parse(text(record), where(record).text());
    require(depth_of(json) <= kMaxJsonDepth, where(record), "it nests deeper than ", kMaxJsonDepth,
            " levels");
    return json;
  }

  const float* floats(const std::string& name) const {
    return reinterpret_cast<const float*>(data(at(name)));
  }
  const float* floats_or_null(const std::string& name) const {
    return find(name) == nullptr ? nullptr : floats(name);
  }

  kernels::TernaryMatrix ternary(const std::string& name) const {
    const PackedRecord& r = at(name);
    return {.layout = ternary_layout(r.layout),
            .rows = static_cast<std::int64_t>(r.rows),
            .cols = static_cast<std::int64_t>(r.cols),
            .packed = stored(r),
            .alpha = r.scale};
  }

  kernels::HeadWeight head_weight(const std::string& name, kernels::HeadClass kind) const {
    const PackedRecord& r = at(name);
    kernels::HeadWeight weight{.kind = kind,
                               .rows = static_cast<std::int64_t>(r.rows),
                               .cols = static_cast<std::int64_t>(r.cols),
                               .stored = stored(r),
                               .row_scale = nullptr,
                               .group_scale = {}};
    if (kind == kernels::HeadClass::i8) weight.row_scale = floats(section::kHeadScales);
    if (kind == kernels::HeadClass::i6 || kind == kernels::HeadClass::i4) {
      const PackedRecord& scales = at(section::kHeadScales);
      weight.group_scale = {reinterpret_cast<const std::uint16_t*>(data(scales)),
                            static_cast<std::int64_t>(scales.rows), static_cast<std::int64_t>(scales.cols),
                            static_cast<std::int64_t>(scales.stride / sizeof(std::uint16_t))};
    }
    return weight;
  }

 private:
  Rows<const std::uint8_t> stored(const PackedRecord& r) const {
    const auto stride = static_cast<std::int64_t>(r.stride);
    return {reinterpret_cast<const std::uint8_t*>(data(r)),
            stored_rows(r.layout, static_cast<std::int64_t>(r.rows), static_cast<std::int64_t>(r.cols)),
            stride, stride};
  }

  std::span<const std::byte> file_;
  const std::vector<PackedRecord>& records_;
  const std::string& source_;
  std::unordered_map<std::string, const PackedRecord*> by_name_;
};

/// Head class and layouts are what the sections say; whether they fit together is checked afterwards.
void read_layouts(const Sections& sections, PackedContents& contents) {
  using kernels::HeadClass;
  const auto layout_of = [&](const std::string& name) {
    const PackedRecord* const record = sections.find(name);
    return record == nullptr ? SectionLayout::none : record->layout;
  };
  const SectionLayout head = layout_of(section::kHead);
  contents.head = HeadClass::bf16;
  for (const HeadClass kind : {HeadClass::i8, HeadClass::i6, HeadClass::i4})
    if (head == head_layout(kind)) contents.head = kind;
  if (layout_of(section::kEmbedding) == SectionLayout::f32) contents.head = HeadClass::f32;
  contents.qkv_gate_layout = layout_of(layer_tensor(0, section::kQ)) == SectionLayout::t2_row
                                 ? quant::TernaryLayout::t2_row
                                 : quant::TernaryLayout::t2_row4;
}

void check_planned(const PackedRecord& r, const PlannedSection& planned, const Where& where) {
  require(r.kind == planned.kind, where, "kind ", static_cast<std::uint32_t>(r.kind), "; expected ",
          static_cast<std::uint32_t>(planned.kind));
  require(r.flags == 0 || planned.may_be_absent, where, "it is marked as optional and is not");
  require(r.layout == planned.layout, where, "layout ", static_cast<std::uint32_t>(r.layout), "; expected ",
          static_cast<std::uint32_t>(planned.layout));
  require(r.rows == static_cast<std::uint64_t>(planned.rows) &&
              r.cols == static_cast<std::uint64_t>(planned.cols),
          where, "shape ", r.rows, " x ", r.cols, "; config.json implies ", planned.rows, " x ",
          planned.cols);
}

/// The sections that this version names are those that config.json implies, in order; others are optional.
void check_sections(const Sections& sections, const std::vector<PackedRecord>& records,
                    const PackedContents& contents, const std::string& source) {
  const std::vector<PlannedSection> plan = planned_sections(contents);
  auto planned = plan.begin();
  for (const PackedRecord& record : records) {
    const std::string name = name_of(record);
    if (!is_known_section(name)) continue;
    while (planned != plan.end() && planned->name != name && planned->may_be_absent) ++planned;
    require(planned != plan.end() && planned->name == name, sections.where_in_table(record),
            "config.json implies ", planned == plan.end() ? "the end of the file" : planned->name, " here");
    check_planned(record, *planned, sections.where_in_table(record));
    ++planned;
  }
  while (planned != plan.end() && planned->may_be_absent) ++planned;
  require(planned == plan.end(), Where{source, 4, "the table", record_offset(records.size())},
          planned == plan.end() ? "" : planned->name, " is missing");
}

PackedContents read_contents(const Sections& sections, const Json& config) {
  const Where where = sections.where(sections.at(section::kConfig));
  try {
    PackedContents contents = contents_of(config);
    read_layouts(sections, contents);
    return contents;
  } catch (const Error& error) {
    fail(ErrorKind::bad_input, where.text(), ": ", error.what());
  }
}

std::vector<PackedLayer> read_layers(const Sections& sections, std::int64_t count) {
  std::vector<PackedLayer> layers;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto floats = [&](const char* name) { return sections.floats_or_null(layer_tensor(i, name)); };
    const auto ternary = [&](const char* name) { return sections.ternary(layer_tensor(i, name)); };
    layers.push_back({.input_layernorm = floats(section::kInputNorm),
                      .attn_sub_norm = floats(section::kAttentionSubNorm),
                      .post_attention_layernorm = floats(section::kPostNorm),
                      .ffn_sub_norm = floats(section::kFfnSubNorm),
                      .q = ternary(section::kQ),
                      .k = ternary(section::kK),
                      .v = ternary(section::kV),
                      .o = ternary(section::kO),
                      .gate = ternary(section::kGate),
                      .up = ternary(section::kUp),
                      .down = ternary(section::kDown)});
  }
  return layers;
}

PackedSection describe(const PackedRecord& r) {
  const char* const plain = r.kind == SectionKind::json ? "JSON" : "bytes";
  return {.name = name_of(r),
          .layout = r.kind == SectionKind::tensor ? layout_row(r.layout)->name : plain,
          .rows = static_cast<std::int64_t>(r.rows),
          .cols = static_cast<std::int64_t>(r.cols),
          .offset = r.offset,
          .bytes = r.bytes,
          .scale = r.scale,
          .nonzero = static_cast<std::int64_t>(r.nonzero),
          .sha256 = hex(r.sha256)};
}

}  // namespace

PackedModel PackedModel::open(const Path& path, Verify verify) {
  MappedFile file(path);
  const std::span<const std::byte> mapped = file.bytes();
  PackedModel model = of_bytes(mapped, path.string(), verify);
  if (mapped.size() < kLargePagesFrom) {
    model.file_ = std::move(file);
    return model;
  }
  PageBuffer pages(static_cast<std::int64_t>(mapped.size()), true);
  constexpr std::int64_t kPart = 4 << 20;
  parallel_for((pages.size() + kPart - 1) / kPart, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto from = static_cast<std::size_t>(begin * kPart);
    std::memcpy(pages.data() + from, mapped.data() + from,
                static_cast<std::size_t>(std::min(pages.size(), end * kPart)) - from);
  });
  model = of_bytes({reinterpret_cast<const std::byte*>(pages.data()), mapped.size()}, path.string(),
                   Verify::structure);
  model.pages_ = std::move(pages);
  return model;
}

PackedModel PackedModel::of_bytes(std::span<const std::byte> bytes, const std::string& source,
                                  Verify verify) {
  A48_ASSERT(reinterpret_cast<std::uintptr_t>(bytes.data()) % kPackedAlignment == 0, source);
  const PackedHeader header = read_header(bytes, source);
  const std::vector<PackedRecord> records = read_records(bytes, header, source);
  const Sections sections(bytes, records, source);
  PackedModel model;
  model.config_json_ = sections.json(section::kConfig);
  const PackedContents contents = read_contents(sections, model.config_json_);
  check_sections(sections, records, contents, source);
  sections.json(section::kGenerationConfig);
  model.provenance_ = sections.json(section::kProvenance);
  const PackedRecord* const tokenizer = sections.find(section::kTokenizerModel);
  if (tokenizer != nullptr) {
    require(tokenizer->bytes <= kMaxTokenizerBytes, sections.where(*tokenizer), tokenizer->bytes,
            " bytes; allowed are ", kMaxTokenizerBytes);
    model.tokenizer_model_ = sections.text(*tokenizer);
  }
  if (verify == Verify::full) verify_payloads(bytes, records, source);

  model.source_ = source;
  model.identity_ = hex(header.header_sha256);
  model.mode_ = contents.mode;
  model.tokenizer_kind_ = contents.tokenizer_kind;
  model.model_ = contents.model;
  model.slots_ = contents.slots;
  model.cache_format_ = contents.cache;
  model.sequence_length_ = contents.sequence_length;
  model.file_bytes_ = header.file_bytes;
  model.embedding_ = sections.head_weight(section::kEmbedding, contents.head == kernels::HeadClass::f32
                                                                   ? kernels::HeadClass::f32
                                                                   : kernels::HeadClass::bf16);
  model.head_ = sections.find(section::kHead) == nullptr
                    ? model.embedding_
                    : sections.head_weight(section::kHead, contents.head);
  model.layers_ = read_layers(sections, contents.model.num_hidden_layers);
  model.final_norm_ = sections.floats(section::kFinalNorm);
  for (const PackedRecord& record : records) model.sections_.push_back(describe(record));
  return model;
}

PackedModel PackedModel::of_buffer(Buffer<std::byte> bytes, const std::string& source) {
  PackedModel model = of_bytes(bytes.span(), source, Verify::structure);
  model.buffer_ = std::move(bytes);
  return model;
}

}  // namespace a48::runtime
