// Rule 5 of formats.md 9: what the payloads of a packed file may hold. Hashes first, so that damage is told
// from a wrong writer; then gaps, padding and values, section by section.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/hash.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "core/runtime/packed_rules.h"

namespace a48::runtime {
namespace {

/// One stored row of a tensor; the offset of a byte is told from the start of the file.
struct StoredRow {
  const Where& section;
  const std::uint8_t* data;
  std::int64_t bytes;

  Where at(std::int64_t byte) const {
    Where where = section;
    where.offset += static_cast<std::uint64_t>(byte);
    return where;
  }
};

float float_at(SectionLayout layout, const std::uint8_t* row, std::int64_t i) {
  if (layout == SectionLayout::f32) {
    float value;
    std::memcpy(&value, row + i * 4, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, row + i * 2, sizeof bits);
  return layout == SectionLayout::bf16 ? quant::widen(quant::Bf16{bits}) : quant::widen(quant::F16{bits});
}

void check_zero_bytes(const StoredRow& row, std::int64_t from) {
  for (std::int64_t i = from; i < row.bytes; ++i)
    if (row.data[i] != 0) require(false, row.at(i), "padding byte ", int{row.data[i]}, "; expected 0");
}

void check_float_row(const StoredRow& row, SectionLayout layout, std::int64_t cols) {
  const std::int64_t size = layout_row(layout)->element_bytes;
  for (std::int64_t i = 0; i < cols; ++i)
    if (!std::isfinite(float_at(layout, row.data, i)))
      require(false, row.at(i * size), "value ", float_at(layout, row.data, i), "; expected a finite number");
  check_zero_bytes(row, cols * size);
}

/// Codes of a byte other than c = 1.
constexpr std::array<std::uint8_t, 256> kNonzeroCodes = [] {
  std::array<std::uint8_t, 256> counts{};
  for (unsigned byte = 0; byte < counts.size(); ++byte)
    for (int j = 0; j < 4; ++j)
      counts[byte] = static_cast<std::uint8_t>(counts[byte] + ((byte >> (2 * j) & 3) != 1 ? 1 : 0));
  return counts;
}();

/// Returns the number of weights that are not 0; padding is checked before.
std::uint64_t count_ternary_row(const StoredRow& row) {
  std::uint64_t count = 0;
  for (std::int64_t i = 0; i < row.bytes; ++i) {
    if (!quant::ternary_byte_is_valid(row.data[i]))
      require(false, row.at(i), "byte ", int{row.data[i]}, " holds the invalid code 3");
    count += kNonzeroCodes[row.data[i]];
  }
  return count;
}

void check_ternary_padding(const StoredRow& row, std::int64_t byte, int code) {
  if (quant::ternary_at(row.data[byte], code) != 0)
    require(false, row.at(byte), "padding of code ", quant::ternary_at(row.data[byte], code) + 1,
            "; expected 1");
}

void check_ternary_row(const StoredRow& row, const PackedRecord& r, std::int64_t stored) {
  const auto rows = static_cast<std::int64_t>(r.rows), cols = static_cast<std::int64_t>(r.cols);
  if (r.layout == SectionLayout::t2_row4) {
    const bool whole = 4 * stored + 4 <= rows;
    for (std::int64_t i = whole ? cols : 0; i < row.bytes; ++i)
      for (int k = 0; k < 4; ++k)
        if (i >= cols || 4 * stored + k >= rows) check_ternary_padding(row, i, k);
    return;
  }
  const std::int64_t width = r.layout == SectionLayout::t2_row ? cols : rows;
  for (std::int64_t i = width; i < 4 * row.bytes; ++i) {
    const quant::T2RowPlace place = quant::t2_row_place(i);
    check_ternary_padding(row, place.byte, place.code);
  }
}

void check_code_row(const StoredRow& row, SectionLayout layout, std::int64_t cols) {
  if (layout == SectionLayout::i8_row) {
    for (std::int64_t i = 0; i < cols; ++i)
      if (row.data[i] == 0x80) require(false, row.at(i), "the invalid code -128");
    return check_zero_bytes(row, cols);
  }
  const bool four = layout == SectionLayout::i4_row;
  const std::int64_t capacity = four ? 2 * row.bytes : row.bytes / 96 * 128;
  const int lowest = four ? -8 : -32;
  for (std::int64_t i = 0; i < capacity; ++i) {
    const int code = four ? quant::i4_at(row.data, i) : quant::i6_at(row.data, i);
    const std::int64_t byte = four ? i / 64 * 32 + i % 32 : i / 128 * 96 + i % 128 / 64 * 32 + i % 32;
    if (code == lowest) require(false, row.at(byte), "the invalid code u = 0 at input ", i);
    if (i >= cols && code != 0)
      require(false, row.at(byte), "padding of code ", code, " at input ", i, "; expected 0");
  }
}

void check_tensor(const std::uint8_t* data, const PackedRecord& r, const Where& section) {
  const auto rows = static_cast<std::int64_t>(r.rows), cols = static_cast<std::int64_t>(r.cols),
             stride = static_cast<std::int64_t>(r.stride);
  std::uint64_t nonzero = 0;
  for (std::int64_t i = 0; i < stored_rows(r.layout, rows, cols); ++i) {
    Where start = section;
    start.offset += static_cast<std::uint64_t>(i * stride);
    const StoredRow row{start, data + i * stride, stride};
    if (is_float(r.layout)) {
      check_float_row(row, r.layout, cols);
    } else if (is_ternary(r.layout)) {
      check_ternary_row(row, r, i);
      nonzero += count_ternary_row(row);
    } else {
      check_code_row(row, r.layout, cols);
    }
  }
  require(nonzero == r.nonzero, section, nonzero, " weights are not 0, and the record says ", r.nonzero);
}

}  // namespace

std::string name_of(const PackedRecord& record) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  std::size_t length = 0;
  while (length < record.name.size() && allowed(record.name[length])) ++length;
  for (std::size_t i = length; i < record.name.size(); ++i)
    if (record.name[i] != '\0') return "";
  return length == record.name.size() ? "" : std::string(record.name.data(), length);
}

std::string quoted_section(const PackedRecord& record) { return "section \"" + name_of(record) + "\""; }

std::string hex(const Digest& digest) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Digest digest_of_hex(const std::string& hex) {
  Digest digest{};
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<std::uint8_t>(value(hex[2 * i]) * 16 + value(hex[2 * i + 1]));
  return digest;
}

std::string sha256_of(std::span<const std::byte> bytes) {
  return sha256_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void verify_payloads(std::span<const std::byte> file, std::span<const PackedRecord> records,
                     const std::string& source) {
  for (const PackedRecord& r : records) {
    const Where where{source, 5, quoted_section(r), r.offset};
    const std::string hash = sha256_of(file.subspan(r.offset, r.bytes));
    require(hash == hex(r.sha256), where, "the payload's sha256 is ", hash, ", and the record says ",
            hex(r.sha256), "; the file is damaged");
    const auto* data = reinterpret_cast<const std::uint8_t*>(file.data());
    for (std::uint64_t i = r.offset + r.bytes; i < aligned(r.offset + r.bytes); ++i)
      require(data[i] == 0, Where{source, 5, quoted_section(r), i}, "byte ", int{data[i]},
              " in the gap after the section; expected 0");
    if (r.kind == SectionKind::tensor) check_tensor(data + r.offset, r, where);
  }
}

}  // namespace a48::runtime
