// Head codes of pack.h and their packing in reference.h: goldens, every code at every place, sizes.
#include <cmath>
#include <vector>

#include "core/base/rng.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "core/quant/reference.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"

namespace a48::quant {
namespace {

constexpr std::int64_t kSizes[] = {1, 5, 63, 64, 65, 255, 257};

std::vector<float> row_of_ends(std::int64_t width, int most) {
  std::vector<float> row(static_cast<std::size_t>(width), 0.0f);
  row[0] = static_cast<float>(most);  // scale 1
  return row;
}

std::vector<std::uint8_t> packed4(const std::vector<float>& row, std::vector<std::uint16_t>& scale) {
  const auto width = static_cast<std::int64_t>(row.size());
  std::vector<std::uint8_t> stored(static_cast<std::size_t>(i4_row_bytes(width)), 0xEE);
  scale.resize(static_cast<std::size_t>(head_groups(width)));
  reference_pack_i4_rows({row.data(), 1, width}, {stored.data(), 1, i4_row_bytes(width)},
                         {scale.data(), 1, head_groups(width)});
  return stored;
}

std::vector<std::uint8_t> packed6(const std::vector<float>& row, std::vector<std::uint16_t>& scale) {
  const auto width = static_cast<std::int64_t>(row.size());
  std::vector<std::uint8_t> stored(static_cast<std::size_t>(i6_row_bytes(width)), 0xEE);
  scale.resize(static_cast<std::size_t>(head_groups(width)));
  reference_pack_i6_rows({row.data(), 1, width}, {stored.data(), 1, i6_row_bytes(width)},
                         {scale.data(), 1, head_groups(width)});
  return stored;
}

}  // namespace

TEST_CASE("I8_ROW: golden, half a step goes to even, the scale is max|w|/127") {
  const float row[5] = {127.0f, -127.0f, 0.5f, 1.5f, -3.0f};
  std::uint8_t stored[64];
  float scale = 0;
  reference_pack_i8_rows({row, 1, 5}, {stored, 1, 64}, &scale);
  CHECK(scale == 1.0f);
  const std::vector<std::uint8_t> expected{0x7F, 0x81, 0x00, 0x02, 0xFD};
  CHECK(std::vector<std::uint8_t>(stored, stored + 5) == expected);
  CHECK(std::vector<std::uint8_t>(stored + 5, stored + 64) == std::vector<std::uint8_t>(59, 0));
}

TEST_CASE("I4_ROW: golden of 40 inputs, u = q + 8, padding is 0x88") {
  std::vector<float> row = row_of_ends(40, 7);
  row[1] = -7.0f;
  row[31] = 2.5f;    // to even: 2
  row[32] = -14.0f;  // second group: scale 2
  row[39] = 3.0f;    // 1.5 to even: 2
  std::vector<std::uint16_t> scale;
  std::vector<std::uint8_t> expected(64, 0x88);
  expected[0] = 0x1F;  // inputs 0 and 32: u = 15, 1
  expected[1] = 0x81;
  expected[31] = 0x8A;
  expected[7] = 0xA8;
  CHECK(packed4(row, scale) == expected);
  CHECK(scale == std::vector<std::uint16_t>{0x3C00, 0x4000});
}

TEST_CASE("I6_ROW: golden of 128 inputs, low halves first, then pairs of upper bits") {
  std::vector<float> row(128, 0.0f);
  row[0] = 31.0f;    // u = 63
  row[33] = -31.0f;  // u = 1, group 1
  row[66] = 31.0f;   // group 2
  row[67] = -16.0f;  // u = 16
  row[96] = 31.0f;   // group 3
  row[99] = 5.0f;    // u = 37
  std::vector<std::uint16_t> scale;
  std::vector<std::uint8_t> expected(192, 0x00);
  // u = 32 everywhere: low half 0, upper bits 2.
  for (int i = 64; i < 96; ++i) expected[static_cast<std::size_t>(i)] = 0xAA;
  for (int i = 160; i < 192; ++i) expected[static_cast<std::size_t>(i)] = 0xAA;
  expected[0] = 0x0F;
  expected[1] = 0x10;
  expected[32 + 2] = 0x0F;
  expected[32 + 0] = 0xF0;
  expected[32 + 3] = 0x50;
  expected[64 + 0] = 0xEB;  // groups 3, 2, 1, 0: 3 2 2 3
  expected[64 + 1] = 0xA2;  // 2 2 0 2
  expected[64 + 2] = 0xBA;  // 2 3 2 2
  expected[64 + 3] = 0x9A;  // 2 1 2 2
  CHECK(packed6(row, scale) == expected);
  CHECK(scale == std::vector<std::uint16_t>(4, 0x3C00));
}

TEST_CASE("every code at every place of a row survives I4_ROW and I6_ROW, for sizes around their blocks") {
  for (const std::int64_t width : kSizes) {
    std::vector<std::uint16_t> scale;
    for (int shift = 0; shift < 63; ++shift) {
      std::vector<float> four(static_cast<std::size_t>(width)), six(four);
      const auto code = [&](std::int64_t k, int most) {
        return k % kHeadGroup == 0 ? most : static_cast<int>((k * 5 + shift) % (2 * most + 1)) - most;
      };
      for (std::int64_t k = 0; k < width; ++k) {
        four[static_cast<std::size_t>(k)] = static_cast<float>(code(k, 7));
        six[static_cast<std::size_t>(k)] = static_cast<float>(code(k, 31));
      }
      const std::vector<std::uint8_t> stored4 = packed4(four, scale), stored6 = packed6(six, scale);
      for (std::int64_t k = 0; k < static_cast<std::int64_t>(2 * stored4.size()); ++k)
        if (i4_at(stored4.data(), k) != (k < width ? code(k, 7) : 0)) FAIL("i4 " << width << " at " << k);
      for (std::int64_t k = 0; k < static_cast<std::int64_t>(stored6.size() / 96 * 128); ++k)
        if (i6_at(stored6.data(), k) != (k < width ? code(k, 31) : 0)) FAIL("i6 " << width << " at " << k);
    }
  }
}

TEST_CASE("head codes: random rows err by at most half a step, rounded scales clip, tiny scales give zeros") {
  constexpr std::int64_t kWidth = 257;
  std::vector<float> row(kWidth);
  for (std::size_t k = 0; k < row.size(); ++k) row[k] = static_cast<float>(random_normal(test::seed(), 7, k));
  std::vector<std::uint16_t> scale4, scale6;
  const std::vector<std::uint8_t> four = packed4(row, scale4), six = packed6(row, scale6);
  for (std::int64_t k = 0; k < kWidth; ++k) {
    const auto g = static_cast<std::size_t>(k / kHeadGroup);
    const float s4 = widen(F16{scale4[g]}), s6 = widen(F16{scale6[g]}), w = row[static_cast<std::size_t>(k)];
    // A scale that was rounded down leaves the largest weight up to 2^-11 of itself outside.
    CHECK(std::fabs(static_cast<float>(i4_at(four.data(), k)) * s4 - w) <= s4 * (0.5f + 7 * 0x1p-11f));
    CHECK(std::fabs(static_cast<float>(i6_at(six.data(), k)) * s6 - w) <= s6 * (0.5f + 31 * 0x1p-11f));
  }
  const std::vector<float> tiny(40, 1e-9f);
  for (const std::uint8_t byte : packed4(tiny, scale4)) CHECK(byte == 0x88);
  CHECK(scale4 == std::vector<std::uint16_t>{0, 0});
  CHECK(head_code(1.0f, 0.0f, 127) == 0);
  CHECK(head_code(200.0f, 1.0f, 127) == 127);
  CHECK(head_code(-200.0f, 1.0f, 127) == -127);
}

}  // namespace a48::quant
