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

TEST_CASE("check 10: ternary matrices survive every layout; padding is t = 0; a 2-bit 3 is refused by name") {
  for (const TernaryLayout layout : {TernaryLayout::t2_row, TernaryLayout::t2_col, TernaryLayout::t2_row4}) {
    for (const std::int64_t width : {1, 7, 8, 100, 136, 255, 256, 257, 2202, 5460}) {
      for (const bool tall : {false, true}) {
        const std::int64_t outputs = tall ? width : 6, inputs = tall ? 5 : width;
        INFO("layout " << static_cast<int>(layout) << ", " << outputs << " x " << inputs);
        std::vector<std::int8_t> codes(static_cast<std::size_t>(outputs * inputs)), back(codes.size());
        for (std::size_t k = 0; k < codes.size(); ++k)
          codes[k] = static_cast<std::int8_t>(static_cast<int>((k * k + k / 3) % 3) - 1);
        const std::int64_t rows = stored_rows(layout, outputs, inputs);
        const std::int64_t bytes = stored_row_bytes(layout, outputs, inputs);
        std::vector<std::uint8_t> packed(static_cast<std::size_t>(rows * bytes));
        const Rows<std::uint8_t> view(packed.data(), rows, bytes);
        reference_pack_ternary(layout, {codes.data(), outputs, inputs}, view);
        reference_unpack_ternary(layout, view, {back.data(), outputs, inputs});
        CHECK(back == codes);

        std::int64_t not_zero = 0, stored_not_zero = 0;
        for (const std::int8_t code : codes) not_zero += code != 0;
        for (const std::uint8_t byte : packed) {
          CHECK(ternary_byte_is_valid(byte));
          for (int j = 0; j < 4; ++j) stored_not_zero += ternary_at(byte, j) != 0;
        }
        CHECK(stored_not_zero == not_zero);

        const TernaryPlace last = ternary_place(layout, outputs - 1, inputs - 1);
        view.row(last.row)[last.byte] = 0xFF;
        std::string message;
        try {
          reference_unpack_ternary(layout, view, {back.data(), outputs, inputs});
        } catch (const Error& error) {
          message = error.what();
          CHECK(error.kind() == ErrorKind::bad_input);
        }
        CHECK(message.find("row " + std::to_string(last.row)) != std::string::npos);
        CHECK(message.find("2-bit code 3") != std::string::npos);
      }
    }
  }
}

TEST_CASE("goldens of formats.md 9: five codes of a row, and of a column") {
  const std::int8_t codes[5] = {1, -1, 0, 1, -1};
  const std::uint8_t head[5] = {0x56, 0x54, 0x55, 0x56, 0x54};
  std::uint8_t packed[5 * 64];
  reference_pack_ternary(TernaryLayout::t2_row, {codes, 1, 5}, {packed, 1, 64});
  for (int i = 0; i < 64; ++i) CHECK(int{packed[i]} == int{i < 5 ? head[i] : kEmptyTernaryByte});
  reference_pack_ternary(TernaryLayout::t2_col, {codes, 5, 1}, {packed, 1, 64});
  for (int i = 0; i < 64; ++i) CHECK(int{packed[i]} == int{i < 5 ? head[i] : kEmptyTernaryByte});
  // Rows 0 … 3 of input 0 are +1, −1, 0, +1: 0b10'01'00'10; row 4 stands alone in the second stored row.
  reference_pack_ternary(TernaryLayout::t2_row4, {codes, 5, 1}, {packed, 2, 64});
  for (int i = 0; i < 128; ++i)
    CHECK(int{packed[i]} == int{i == 0 ? 0x92 : (i == 64 ? 0x54 : kEmptyTernaryByte)});
}

}  // namespace a48::test
