// Small packed models, and packed files taken apart and put together again: what the tests of the reader and
// its fuzz target are made of. Free of Catch2.
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/runtime/pack_model.h"
#include "core/runtime/packed_contents.h"
#include "core/runtime/packed_format.h"
#include "core/runtime/packed_rules.h"

namespace a48::test {

/// Gaussian tensors, the same for the same name; vectors near 1.
inline runtime::WeightSource random_weights(const config::Model& model, std::uint64_t seed = 1) {
  auto values = std::make_shared<std::vector<float>>();
  return [=](const std::string& name) -> Rows<const float> {
    std::int64_t rows = 0, cols = 0;
    for (const kernels::HeadClass head : {kernels::HeadClass::f32, kernels::HeadClass::i8}) {
      runtime::PackedContents contents;
      contents.model = model;
      contents.head = head;
      for (const runtime::PlannedSection& section : runtime::planned_sections(contents))
        if (section.name == name) rows = section.rows, cols = section.cols;
    }
    std::uint64_t stream = seed;
    for (const char c : name) stream = stream * 131 + static_cast<unsigned char>(c);
    values->resize(static_cast<std::size_t>(rows * cols));
    for (std::size_t i = 0; i < values->size(); ++i) {
      const double normal = random_normal(seed, stream, i);
      (*values)[i] = static_cast<float>(rows == 1 ? 1.0 + 0.1 * normal : 0.05 * normal);
    }
    return {values->data(), rows, cols};
  };
}

inline runtime::PackRequest small_request(kernels::HeadClass head = kernels::HeadClass::bf16) {
  runtime::PackRequest request;
  config::Model& m = request.model;
  m.vocab_size = 37;
  m.hidden_size = 24;
  m.intermediate_size = 65;
  m.num_hidden_layers = 2;
  m.num_attention_heads = 4;
  m.num_key_value_heads = 2;
  m.max_position_embeddings = 64;
  request.slots = quant::row_of(quant::Mode::a4_8).slots;
  request.mode = "a4.8";
  request.head = head;
  request.source_sha256 = std::string(64, '0');
  return request;
}

/// A section with its payload; offset, bytes and hash of the record are set by `assembled`.
struct PackedPart {
  runtime::PackedRecord record;
  std::string payload;
};

inline std::vector<PackedPart> parts_of(std::span<const std::byte> file) {
  runtime::PackedHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  std::vector<PackedPart> parts(header.n_sections);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    runtime::PackedRecord& record = parts[i].record;
    std::memcpy(&record, file.data() + sizeof header + i * sizeof record, sizeof record);
    parts[i].payload.assign(reinterpret_cast<const char*>(file.data()) + record.offset, record.bytes);
  }
  return parts;
}

/// Sets the hashes that follow from the rest: of the table, as far as it lies in the file, and the header.
inline void hash_again(std::span<std::byte> file) {
  if (file.size() < sizeof(runtime::PackedHeader)) return;
  runtime::PackedHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  const std::uint64_t table = std::uint64_t{header.n_sections} * sizeof(runtime::PackedRecord);
  if (table <= file.size() - sizeof header)
    header.table_sha256 = runtime::digest_of_hex(runtime::sha256_of(file.subspan(sizeof header, table)));
  std::memcpy(file.data(), &header, sizeof header);
  header.header_sha256 =
      runtime::digest_of_hex(runtime::sha256_of(file.first(offsetof(runtime::PackedHeader, header_sha256))));
  std::memcpy(file.data(), &header, sizeof header);
}

inline Buffer<std::byte> assembled(std::vector<PackedPart> parts, std::uint16_t minor = 0) {
  using namespace runtime;
  std::uint64_t offset = sizeof(PackedHeader) + parts.size() * sizeof(PackedRecord);
  for (PackedPart& part : parts) {
    part.record.offset = offset;
    part.record.bytes = part.payload.size();
    part.record.sha256 = digest_of_hex(sha256_hex(part.payload));
    offset = aligned(offset + part.payload.size());
  }
  Buffer<std::byte> file(static_cast<std::int64_t>(offset));
  PackedHeader header{};
  header.magic = kPackedMagic;
  header.major = kPackedMajor;
  header.minor = minor;
  header.header_bytes = sizeof header;
  header.file_bytes = offset;
  header.n_sections = static_cast<std::uint32_t>(parts.size());
  header.record_bytes = sizeof(PackedRecord);
  header.numerics = kPackedNumerics;
  std::memcpy(file.data(), &header, sizeof header);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::memcpy(file.data() + sizeof header + i * sizeof(PackedRecord), &parts[i].record,
                sizeof(PackedRecord));
    std::memcpy(file.data() + parts[i].record.offset, parts[i].payload.data(), parts[i].payload.size());
  }
  hash_again(file.span());
  return file;
}

inline void set_name(runtime::PackedRecord& record, const std::string& name) {
  record.name = {};
  std::copy(name.begin(), name.end(), record.name.begin());
}

}  // namespace a48::test
