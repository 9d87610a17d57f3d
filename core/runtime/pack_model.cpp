// One pass over the sections of packed_contents.h: each is made from its fp32 tensor in blocks of rows,
// hashed and written; header and table, which hold the hashes, come last. Layouts: core/quant/reference.h.
#include "core/runtime/pack_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/quant/half.h"
#include "core/quant/reference.h"
#include "core/runtime/packed_contents.h"
#include "core/runtime/packed_rules.h"

namespace a48::runtime {
namespace {

using kernels::HeadClass;

struct HeadName {
  HeadClass kind;
  const char* name;
};
constexpr HeadName kHeadNames[] = {{HeadClass::f32, "f32"},
                                   {HeadClass::bf16, "bf16"},
                                   {HeadClass::i8, "i8"},
                                   {HeadClass::i6, "i6"},
                                   {HeadClass::i4, "i4"}};

/// Rows of the embedding or head that are converted at a time.
std::int64_t block_rows(Rows<const float> weight) {
  constexpr std::int64_t kElements = 1 << 20, kMost = 512;
  return std::min(weight.rows, std::clamp<std::int64_t>(kElements / weight.cols, 1, kMost));
}

/// Where the bytes of a file go: appended in order, header and table put in place at the end.
struct Sink {
  std::function<void(const void* data, std::size_t bytes)> append;
  std::function<void(std::uint64_t offset, const void* data, std::size_t bytes)> patch;
};

/// A block of rows of a matrix as its head class stores it.
class HeadBlock {
 public:
  HeadBlock(HeadClass kind, Rows<const float> weight)
      : kind_(kind),
        cols_(weight.cols),
        stride_(stride_of(head_layout(kind), 1, cols_)),
        scale_stride_(stride_of(SectionLayout::f16, 1, quant::head_groups(cols_)) / 2),
        stored_(block_rows(weight) * stride_),
        row_scale_(block_rows(weight)),
        group_scale_(block_rows(weight) * scale_stride_) {}

  /// At most block_rows finite rows.
  void encode(Rows<const float> weight) {
    constexpr std::int64_t kGrain = 16;
    parallel_for(weight.rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
      const Rows<const float> part(weight.row(begin), end - begin, cols_, weight.stride);
      const Rows<std::uint8_t> stored(stored_.data() + begin * stride_, part.rows, stride_);
      const Rows<std::uint16_t> scale(group_scale_.data() + begin * scale_stride_, part.rows,
                                      quant::head_groups(cols_), scale_stride_);
      switch (kind_) {
        case HeadClass::f32:
          for (std::int64_t r = 0; r < part.rows; ++r)
            std::memcpy(stored.row(r), part.row(r), static_cast<std::size_t>(cols_) * sizeof(float));
          break;
        case HeadClass::bf16:
          for (std::int64_t r = 0; r < part.rows; ++r)
            for (std::int64_t k = 0; k < cols_; ++k)
              reinterpret_cast<quant::Bf16*>(stored.row(r))[k] = quant::to_bf16(part.row(r)[k]);
          break;
        case HeadClass::i8:
          quant::reference_pack_i8_rows(part, stored, row_scale_.data() + begin);
          break;
        case HeadClass::i6:
          quant::reference_pack_i6_rows(part, stored, scale);
          break;
        case HeadClass::i4:
          quant::reference_pack_i4_rows(part, stored, scale);
          break;
      }
    });
    rows_ = weight.rows;
  }

  std::span<const std::uint8_t> stored() const { return stored_.span().first(size(rows_ * stride_)); }
  std::span<const float> row_scale() const { return row_scale_.span().first(size(rows_)); }
  std::span<const std::uint16_t> group_scale() const {
    return group_scale_.span().first(size(rows_ * scale_stride_));
  }
  kernels::HeadWeight weight() const {
    return {.kind = kind_,
            .rows = rows_,
            .cols = cols_,
            .stored = {stored_.data(), rows_, stride_},
            .row_scale = row_scale_.data(),
            .group_scale = {group_scale_.data(), rows_, quant::head_groups(cols_), scale_stride_}};
  }

 private:
  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

  HeadClass kind_;
  std::int64_t cols_, stride_, scale_stride_, rows_ = 0;
  Buffer<std::uint8_t> stored_;
  Buffer<float> row_scale_;
  Buffer<std::uint16_t> group_scale_;
};

template <typename Visit>
void for_each_block(Rows<const float> weight, Visit visit) {
  const std::int64_t block = block_rows(weight);
  for (std::int64_t r = 0; r < weight.rows; r += block)
    visit(Rows<const float>(weight.row(r), std::min(block, weight.rows - r), weight.cols, weight.stride), r);
}

/// ‖stored − master‖ / ‖master‖; Error(bad_input) where a stored value is not finite.
double relative_distance(const std::string& name, HeadClass kind, Rows<const float> weight) {
  HeadBlock block(kind, weight);
  double difference = 0, magnitude = 0;
  Buffer<double> squares(2 * block_rows(weight));
  for_each_block(weight, [&](Rows<const float> rows, std::int64_t first) {
    block.encode(rows);
    const kernels::HeadWeight stored = block.weight();
    parallel_for(rows.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> values(static_cast<std::size_t>(rows.cols));
      for (std::int64_t r = begin; r < end; ++r) {
        kernels::widen_row(stored, r, values.data());
        double off = 0, size = 0;
        for (std::int64_t k = 0; k < rows.cols; ++k) {
          const double master = static_cast<double>(rows.row(r)[k]);
          const double d = static_cast<double>(values[static_cast<std::size_t>(k)]) - master;
          off += d * d;
          size += master * master;
        }
        squares[2 * r] = off;
        squares[2 * r + 1] = size;
      }
    });
    for (std::int64_t r = 0; r < rows.rows; ++r) {
      A48_CHECK(std::isfinite(squares[2 * r]), ErrorKind::bad_input, name, ", row ", first + r,
                ": a weight that is not finite, or too large for a head of class ", head_class_name(kind));
      difference += squares[2 * r];
      magnitude += squares[2 * r + 1];
    }
  });
  return magnitude == 0 ? 0.0 : std::sqrt(difference / magnitude);
}

class Packer {
 public:
  Packer(const PackRequest& request, const WeightSource& weights)
      : weights_(weights),
        contents_{.model = request.model,
                  .slots = request.slots,
                  .mode = request.mode,
                  .cache = request.cache,
                  .tokenizer_kind = request.tokenizer_kind,
                  .sequence_length = request.sequence_length,
                  .tokens_seen = request.tokens_seen,
                  .source_sha256 = request.source_sha256,
                  .head = request.head,
                  .qkv_gate_layout = request.qkv_gate_layout} {
    check(request);
    measure_rounding();
    plan(request);
  }

  const RoundingReport& report() const { return report_; }
  std::uint64_t file_bytes() const { return file_bytes_; }

  void write(const Sink& sink) {
    sink_ = &sink;
    written_ = 0;
    const std::vector<std::uint8_t> room(sizeof(PackedHeader) + records_.size() * sizeof(PackedRecord));
    append(room.data(), room.size());
    for (std::size_t i = 0; i < records_.size(); ++i) {
      section_ = &records_[i];
      hash_.emplace();
      A48_ASSERT(written_ == section_->offset, planned_[i].name, written_, section_->offset);
      if (section_->kind == SectionKind::tensor)
        write_tensor(planned_[i]);
      else
        append(texts_[i].data(), texts_[i].size());
      section_->sha256 = digest_of_hex(hash_->hex());
      hash_.reset();
      constexpr std::uint8_t kGap[kPackedAlignment] = {};
      append(kGap, aligned(written_) - written_);
    }
    write_header();
  }

 private:
  void check(const PackRequest& request) const {
    const std::string reason = unservable(request.slots);
    A48_CHECK(reason.empty(), ErrorKind::config, "this model cannot be packed: ", reason);
    check_cache_format(request.cache);
    A48_CHECK((request.tokenizer_kind == "sentencepiece") == !request.tokenizer_model.empty(),
              ErrorKind::bad_input, "tokenizer \"", request.tokenizer_kind, "\" with a model of ",
              request.tokenizer_model.size(), " bytes");
    A48_CHECK(request.tokenizer_model.size() <= kMaxTokenizerBytes, ErrorKind::bad_input,
              "the tokenizer has ", request.tokenizer_model.size(), " bytes; allowed are ",
              kMaxTokenizerBytes);
    A48_ASSERT(request.qkv_gate_layout != quant::TernaryLayout::t2_col, "layout of q, k, v, gate");
  }

  void measure_rounding() {
    const auto distance = [&](const char* name, HeadClass kind) {
      return relative_distance(name, kind,
                               tensor(name, contents_.model.vocab_size, contents_.model.hidden_size));
    };
    const bool f32 = contents_.head == HeadClass::f32;
    report_.embedding_relative = distance(section::kEmbedding, f32 ? HeadClass::f32 : HeadClass::bf16);
    const bool same = contents_.model.tie_word_embeddings && (f32 || contents_.head == HeadClass::bf16);
    report_.head_relative = same ? report_.embedding_relative : distance(head_source(), contents_.head);
  }

  const char* head_source() const {
    return contents_.model.tie_word_embeddings ? section::kEmbedding : section::kHead;
  }

  std::string text_of(const std::string& name, const PackRequest& request) const {
    if (name == section::kConfig) return config_json(contents_).dump(2) + "\n";
    if (name == section::kGenerationConfig) return generation_config_json(contents_).dump(2) + "\n";
    if (name == section::kTokenizerModel) return request.tokenizer_model;
    Json provenance = request.provenance.is_object() ? request.provenance : Json::object();
    Json& rounding = provenance["rounding"];
    rounding = Json::object();
    rounding["embedding_relative"] = report_.embedding_relative;
    rounding["head_relative"] = report_.head_relative;
    return provenance.dump(2) + "\n";
  }

  /// Records with all but hashes, scales and counts; offsets follow from the sizes.
  void plan(const PackRequest& request) {
    for (const PlannedSection& planned : planned_sections(contents_))
      if (!planned.may_be_absent) planned_.push_back(planned);
    std::uint64_t offset = sizeof(PackedHeader) + planned_.size() * sizeof(PackedRecord);
    for (const PlannedSection& planned : planned_) {
      PackedRecord r{};
      A48_ASSERT(planned.name.size() < r.name.size(), planned.name);
      std::copy(planned.name.begin(), planned.name.end(), r.name.begin());
      r.kind = planned.kind;
      texts_.emplace_back();
      if (planned.kind == SectionKind::tensor) {
        const std::int64_t stride = stride_of(planned.layout, planned.rows, planned.cols);
        r.layout = planned.layout;
        r.group = layout_row(planned.layout)->group;
        r.rows = static_cast<std::uint64_t>(planned.rows);
        r.cols = static_cast<std::uint64_t>(planned.cols);
        r.stride = static_cast<std::uint64_t>(stride);
        r.bytes =
            static_cast<std::uint64_t>(stored_rows(planned.layout, planned.rows, planned.cols) * stride);
      } else {
        texts_.back() = text_of(planned.name, request);
        r.bytes = texts_.back().size();
      }
      A48_CHECK(planned.kind != SectionKind::json || r.bytes <= kMaxConfigBytes, ErrorKind::bad_input,
                planned.name, " has ", r.bytes, " bytes; allowed are ", kMaxConfigBytes);
      r.offset = offset;
      offset = aligned(offset + r.bytes);
      records_.push_back(r);
    }
    file_bytes_ = offset;
  }

  Rows<const float> tensor(const std::string& name, std::int64_t rows, std::int64_t cols) const {
    const Rows<const float> weight = weights_(name);
    A48_CHECK(weight.rows == rows && weight.cols == cols, ErrorKind::bad_input, name, ": ", weight.rows,
              " x ", weight.cols, "; the configuration implies ", rows, " x ", cols);
    return weight;
  }

  void write_tensor(const PlannedSection& planned) {
    if (planned.name == section::kHeadScales) return append(scales_.data(), scales_.size());
    const bool head = planned.name == section::kHead;
    const Rows<const float> weight = tensor(head ? head_source() : planned.name, planned.rows, planned.cols);
    if (is_ternary(planned.layout)) return write_ternary(planned, weight);
    const HeadClass kind = head                                    ? contents_.head
                           : planned.layout == SectionLayout::bf16 ? HeadClass::bf16
                                                                   : HeadClass::f32;
    if (planned.rows == 1) relative_distance(planned.name, kind, weight);  // finite?
    write_rows(kind, weight);
  }

  void write_ternary(const PlannedSection& planned, Rows<const float> weight) {
    Buffer<std::int8_t> codes(planned.rows * planned.cols);
    std::uint8_t status = 0;
    kernels::ternarize_weight({weight, codes.rows(planned.rows, planned.cols), &section_->scale, &status});
    A48_CHECK(status == kernels::kRowFinite, ErrorKind::bad_input, planned.name,
              ": a weight that is not finite");
    section_->nonzero = static_cast<std::uint64_t>(
        planned.rows * planned.cols - kernels::count_zero_codes(codes.rows(planned.rows, planned.cols)));
    const quant::TernaryLayout layout = ternary_layout(planned.layout);
    const Buffer<std::uint8_t> packed = pack_ternary(layout, codes.rows(planned.rows, planned.cols));
    append(packed.data(), static_cast<std::size_t>(packed.size()));
  }

  /// Stored rows in parallel: they hold whole rows, groups of four rows, or columns.
  static Buffer<std::uint8_t> pack_ternary(quant::TernaryLayout layout, Rows<const std::int8_t> codes) {
    const std::int64_t stored = quant::stored_rows(layout, codes.rows, codes.cols),
                       stride = quant::stored_row_bytes(layout, codes.rows, codes.cols);
    Buffer<std::uint8_t> packed(stored * stride);
    constexpr std::int64_t kGrain = 64;  // stored rows: a column of codes is read by whole cache lines
    parallel_for((stored + kGrain - 1) / kGrain, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin * kGrain; first < std::min(end * kGrain, stored); first += kGrain) {
        const std::int64_t count = std::min(kGrain, stored - first);
        Rows<const std::int8_t> part;
        if (layout == quant::TernaryLayout::t2_col) {
          part = {codes.data + first, codes.rows, count, codes.stride};
        } else {
          const std::int64_t each = layout == quant::TernaryLayout::t2_row4 ? 4 : 1;
          part = {codes.row(each * first), std::min(each * count, codes.rows - each * first), codes.cols,
                  codes.stride};
        }
        quant::reference_pack_ternary(layout, part, {packed.data() + first * stride, count, stride});
      }
    });
    return packed;
  }

  void write_rows(HeadClass kind, Rows<const float> weight) {
    HeadBlock block(kind, weight);
    scales_.clear();
    const auto keep = [&](const auto& scales) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(scales.data());
      scales_.insert(scales_.end(), bytes, bytes + scales.size_bytes());
    };
    for_each_block(weight, [&](Rows<const float> rows, std::int64_t) {
      block.encode(rows);
      append(block.stored().data(), block.stored().size());
      if (kind == HeadClass::i8) keep(block.row_scale());
      if (kind == HeadClass::i6 || kind == HeadClass::i4) keep(block.group_scale());
    });
    scales_.resize(aligned(scales_.size()));
  }

  void append(const void* data, std::size_t bytes) {
    if (bytes == 0) return;
    if (hash_) hash_->update(data, bytes);
    sink_->append(data, bytes);
    written_ += bytes;
  }

  void write_header() {
    const std::span<const std::byte> table = std::as_bytes(std::span(records_));
    PackedHeader header{};
    header.magic = kPackedMagic;
    header.major = kPackedMajor;
    header.minor = kPackedMinor;
    header.header_bytes = sizeof(PackedHeader);
    header.file_bytes = file_bytes_;
    header.n_sections = static_cast<std::uint32_t>(records_.size());
    header.record_bytes = sizeof(PackedRecord);
    header.numerics = kPackedNumerics;
    header.table_sha256 = digest_of_hex(sha256_of(table));
    header.header_sha256 = digest_of_hex(
        sha256_of(std::as_bytes(std::span(&header, 1)).first(offsetof(PackedHeader, header_sha256))));
    A48_ASSERT(written_ == file_bytes_, written_, file_bytes_);
    sink_->patch(0, &header, sizeof header);
    sink_->patch(sizeof header, table.data(), table.size());
  }

  const WeightSource& weights_;
  PackedContents contents_;
  RoundingReport report_;
  std::vector<PlannedSection> planned_;
  std::vector<PackedRecord> records_;
  std::vector<std::string> texts_;  // payloads of sections that are no tensor
  std::uint64_t file_bytes_ = 0;

  const Sink* sink_ = nullptr;
  std::uint64_t written_ = 0;
  PackedRecord* section_ = nullptr;   // at work
  std::optional<Sha256> hash_;        // of its payload
  std::vector<std::uint8_t> scales_;  // of the head, its last section
};

}  // namespace

HeadClass head_class_of(const std::string& name) {
  std::string names;
  for (const HeadName& head : kHeadNames) {
    if (name == head.name) return head.kind;
    names.append(names.empty() ? "" : ", ").append(head.name);
  }
  fail(ErrorKind::config, "head class \"", name, "\"; allowed are ", names);
}

const char* head_class_name(HeadClass kind) {
  for (const HeadName& head : kHeadNames)
    if (head.kind == kind) return head.name;
  return "";
}

RoundingReport write_packed_model(const Path& path, const PackRequest& request, const WeightSource& weights) {
  Packer packer(request, weights);
  FileWriter file(path);
  packer.write({[&](const void* data, std::size_t bytes) { file.write(data, bytes); },
                [&](std::uint64_t offset, const void* data, std::size_t bytes) {
                  file.write_at(offset, data, bytes);
                }});
  file.commit();
  return packer.report();
}

Buffer<std::byte> pack_model(const PackRequest& request, const WeightSource& weights) {
  Packer packer(request, weights);
  Buffer<std::byte> bytes(static_cast<std::int64_t>(packer.file_bytes()));
  std::size_t written = 0;
  packer.write({[&](const void* data, std::size_t count) {
                  std::memcpy(bytes.data() + written, data, count);
                  written += count;
                },
                [&](std::uint64_t offset, const void* data, std::size_t count) {
                  std::memcpy(bytes.data() + offset, data, count);
                }});
  return bytes;
}

}  // namespace a48::runtime
