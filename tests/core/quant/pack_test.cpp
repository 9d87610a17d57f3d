// Every code, every nibble, every byte.
#include "core/quant/pack.h"

#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/quant/reference.h"
#include "tests/support/catch.h"

namespace a48::test {

using namespace quant;

TEST_CASE("check 10: every 4-bit code survives its nibble; all 16 nibbles decode") {
  for (int nibble = 0; nibble < 16; ++nibble)
    CHECK(nibble_of(CodeKind::integer,
                    code_of_nibble(CodeKind::integer, static_cast<std::uint8_t>(nibble))) == nibble);
  const int grid[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (int nibble = 0; nibble < 16; ++nibble) {
    CHECK(code_of_nibble(CodeKind::fp4_grid, static_cast<std::uint8_t>(nibble)) == grid[nibble]);
    // −0 is read as 0 and never written.
    CHECK(nibble_of(CodeKind::fp4_grid, grid[nibble]) == (nibble == 8 ? 0 : nibble));
  }
}

TEST_CASE("the worked examples of pack.h") {
  CHECK(pack_pair(CodeKind::integer, 3, -2) == 0xE3);
  CHECK(pack_pair(CodeKind::fp4_grid, 12, -1) == 0x97);
  CHECK(pack_ternary(1, -1, 0, 1) == 0x92);
  CHECK(kEmptyTernaryByte == pack_ternary(0, 0, 0, 0));
}

TEST_CASE(
    "check 10: of all bytes exactly those without a 2-bit value 3 are valid ternary bytes, and they "
    "round-trip") {
  int valid = 0;
  for (int byte = 0; byte < 256; ++byte) {
    bool has_three = false;
    for (int j = 0; j < 4; ++j) has_three |= ((byte >> (2 * j)) & 3) == 3;
    const std::uint8_t word = static_cast<std::uint8_t>(byte);
    CHECK(ternary_byte_is_valid(word) == !has_three);
    if (has_three) continue;
    ++valid;
    CHECK(pack_ternary(ternary_at(word, 0), ternary_at(word, 1), ternary_at(word, 2), ternary_at(word, 3)) ==
          word);
  }
  CHECK(valid == 81);
}

TEST_CASE(
    "check 10: ternary rows survive T2_ROW for all widths; padding is code 0; a 2-bit 3 is refused by name") {
  for (const std::int64_t width : {1, 7, 8, 100, 136, 255, 256, 257, 2202, 5460}) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(2 * width)), back(codes.size());
    for (std::size_t k = 0; k < codes.size(); ++k) codes[k] = static_cast<std::int8_t>((k * k + k / 3) % 3);
    for (std::int8_t& code : codes) code = static_cast<std::int8_t>(code - 1);
    const std::int64_t bytes = t2_row_bytes(width);
    std::vector<std::uint8_t> packed(static_cast<std::size_t>(2 * bytes));
    const Rows<std::uint8_t> view(packed.data(), 2, bytes);
    reference_pack_t2_rows({codes.data(), 2, width}, view);
    reference_unpack_t2_rows(view, {back.data(), 2, width});
    CHECK(back == codes);
    for (const std::uint8_t byte : packed) CHECK(ternary_byte_is_valid(byte));

    packed[static_cast<std::size_t>(bytes + t2_row_place(width - 1).byte)] |= 0xC0 | 0x30 | 0x0C | 0x03;
    std::string message;
    try {
      reference_unpack_t2_rows(view, {back.data(), 2, width});
    } catch (const Error& error) {
      message = error.what();
      CHECK(error.kind() == ErrorKind::bad_input);
    }
    CHECK(message.find("row 1") != std::string::npos);
    CHECK(message.find("2-bit code 3") != std::string::npos);
  }
}

TEST_CASE("golden of formats.md 9: t = (+1,-1,0,+1,-1) is 56 54 55 56 54, then 55") {
  const std::int8_t codes[5] = {1, -1, 0, 1, -1};
  std::uint8_t packed[64];
  reference_pack_t2_rows({codes, 1, 5}, {packed, 1, 64});
  const std::uint8_t head[5] = {0x56, 0x54, 0x55, 0x56, 0x54};
  for (int i = 0; i < 64; ++i) CHECK(int{packed[i]} == int{i < 5 ? head[i] : kEmptyTernaryByte});
}

}  // namespace a48::test
