// Internal to the reader of packed files: a broken rule of formats.md 9 becomes an Error that names file,
// rule, section and offset. Rules 1 to 4: packed_file.cpp; rule 5: packed_payload.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/runtime/packed_format.h"

namespace a48::runtime {

struct Where {
  const std::string& source;
  int rule;
  std::string place;  // "the header", "section \"lm_head.weight\""
  std::uint64_t offset;

  std::string text() const { return concat(source, ": rule ", rule, ", ", place, ", offset ", offset); }
};

template <typename... Parts>
void require(bool holds, const Where& where, Parts&&... parts) {
  if (!holds) fail(ErrorKind::bad_input, where.text(), ": ", std::forward<Parts>(parts)...);
}

/// The name, if it is one; else "".
std::string name_of(const PackedRecord& record);
std::string quoted_section(const PackedRecord& record);
std::string hex(const Digest& digest);
Digest digest_of_hex(const std::string& hex);
std::string sha256_of(std::span<const std::byte> bytes);  // hex

/// Rule 5. The records passed rule 3.
void verify_payloads(std::span<const std::byte> file, std::span<const PackedRecord> records,
                     const std::string& source);

}  // namespace a48::runtime
