// The bytes of a packed file that writer and reader share (formats.md 9): header, section records, layouts.
// A file is a header, n_sections records, payloads; every payload starts at a multiple of 64, gaps are zero.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>

#include "core/quant/pack.h"

namespace a48::runtime {

static_assert(std::endian::native == std::endian::little, "files are little-endian and mapped as they are");

inline constexpr std::array<std::uint8_t, 8> kPackedMagic{0x89, 0x41, 0x34, 0x38, 0x0D, 0x0A, 0x1A, 0x0A};
inline constexpr std::uint16_t kPackedMajor = 1, kPackedMinor = 0;
inline constexpr std::uint32_t kPackedNumerics = 1;    // revision of the arithmetic order (numerics.md 0)
inline constexpr std::uint64_t kPackedAlignment = 64;  // bytes
inline constexpr std::uint32_t kMaxSections = 65536;
inline constexpr std::uint64_t kMaxConfigBytes = 1 << 20, kMaxTokenizerBytes = 64 << 20;
inline constexpr std::uint64_t kMaxStoredRows = (1 << 24) - 1;  // and entries of a vector
inline constexpr std::uint64_t kMaxStoredCols = 1 << 17;        // keeps int32 sums exact

constexpr std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
}

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

struct PackedHeader {
  std::array<std::uint8_t, 8> magic;
  std::uint16_t major, minor;
  std::uint32_t header_bytes;
  std::uint64_t file_bytes;
  std::uint32_t n_sections, record_bytes;
  std::uint64_t required_features;
  std::uint32_t numerics;
  std::array<std::uint8_t, 20> zero;
  Digest table_sha256;   // of all records
  Digest header_sha256;  // of the bytes before it: the identity of the file
};
static_assert(sizeof(PackedHeader) == 128 && offsetof(PackedHeader, file_bytes) == 16 &&
              offsetof(PackedHeader, required_features) == 32 && offsetof(PackedHeader, zero) == 44 &&
              offsetof(PackedHeader, table_sha256) == 64 && offsetof(PackedHeader, header_sha256) == 96);

enum class SectionKind : std::uint32_t { json = 1, bytes = 2, tensor = 3 };

enum class SectionLayout : std::uint32_t {
  none = 0,
  f32 = 1,
  bf16 = 2,
  f16 = 3,
  t2_row = 16,
  t2_col = 17,
  t2_row4 = 18,
  i8_row = 32,
  i4_row = 33,
  i6_row = 34
};

inline constexpr std::uint32_t kOptionalSection = 1;  // bit of PackedRecord::flags: readers may pass over it

struct PackedRecord {
  std::array<char, 64> name;  // NUL-padded
  SectionKind kind;
  SectionLayout layout;  // none unless tensor, as are all numbers of a matrix
  std::uint32_t flags;
  std::uint32_t group;  // inputs that share a scale
  std::uint64_t rows, cols, stride;
  std::uint64_t offset, bytes;
  float scale;  // of ternary matrices: α
  std::uint32_t zero;
  Digest sha256;          // of the payload
  std::uint64_t nonzero;  // of ternary matrices: how many weights are not 0
  std::array<std::uint8_t, 24> rest;
};
static_assert(sizeof(PackedRecord) == 192 && offsetof(PackedRecord, kind) == 64 &&
              offsetof(PackedRecord, rows) == 80 && offsetof(PackedRecord, offset) == 104 &&
              offsetof(PackedRecord, scale) == 120 && offsetof(PackedRecord, sha256) == 128 &&
              offsetof(PackedRecord, nonzero) == 160 && offsetof(PackedRecord, rest) == 168);

struct LayoutRow {
  SectionLayout layout;
  const char* name;
  std::uint32_t element_bytes;  // of floats, else 0
  std::uint32_t group;
};
inline constexpr std::array<LayoutRow, 9> kLayouts{{{SectionLayout::f32, "F32", 4, 0},
                                                    {SectionLayout::bf16, "BF16", 2, 0},
                                                    {SectionLayout::f16, "F16", 2, 0},
                                                    {SectionLayout::t2_row, "T2_ROW", 0, 0},
                                                    {SectionLayout::t2_col, "T2_COL", 0, 0},
                                                    {SectionLayout::t2_row4, "T2_ROW4", 0, 0},
                                                    {SectionLayout::i8_row, "I8_ROW", 0, 0},
                                                    {SectionLayout::i4_row, "I4_ROW", 0, 32},
                                                    {SectionLayout::i6_row, "I6_ROW", 0, 32}}};

/// nullptr: no layout of a tensor.
constexpr const LayoutRow* layout_row(SectionLayout layout) {
  for (const LayoutRow& row : kLayouts)
    if (row.layout == layout) return &row;
  return nullptr;
}

constexpr bool is_float(SectionLayout layout) {
  return layout == SectionLayout::f32 || layout == SectionLayout::bf16 || layout == SectionLayout::f16;
}
constexpr bool is_ternary(SectionLayout layout) {
  return layout == SectionLayout::t2_row || layout == SectionLayout::t2_col ||
         layout == SectionLayout::t2_row4;
}

constexpr SectionLayout section_layout(quant::TernaryLayout layout) {
  return layout == quant::TernaryLayout::t2_row   ? SectionLayout::t2_row
         : layout == quant::TernaryLayout::t2_col ? SectionLayout::t2_col
                                                  : SectionLayout::t2_row4;
}
/// Of a layout that is_ternary.
constexpr quant::TernaryLayout ternary_layout(SectionLayout layout) {
  return layout == SectionLayout::t2_row   ? quant::TernaryLayout::t2_row
         : layout == SectionLayout::t2_col ? quant::TernaryLayout::t2_col
                                           : quant::TernaryLayout::t2_row4;
}

/// Stored rows of a matrix [rows, cols] and the bytes of one; both within the limits above.
constexpr std::int64_t stored_rows(SectionLayout layout, std::int64_t rows, std::int64_t cols) {
  return is_ternary(layout) ? quant::stored_rows(ternary_layout(layout), rows, cols) : rows;
}
constexpr std::int64_t stride_of(SectionLayout layout, std::int64_t rows, std::int64_t cols) {
  if (is_ternary(layout)) return quant::stored_row_bytes(ternary_layout(layout), rows, cols);
  switch (layout) {
    case SectionLayout::i8_row:
      return quant::i8_row_bytes(cols);
    case SectionLayout::i4_row:
      return quant::i4_row_bytes(cols);
    case SectionLayout::i6_row:
      return quant::i6_row_bytes(cols);
    default:
      return static_cast<std::int64_t>(
          aligned(static_cast<std::uint64_t>(cols) * layout_row(layout)->element_bytes));
  }
}

}  // namespace a48::runtime
