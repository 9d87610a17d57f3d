// pack4_rows, unpack4_rows, codes_to_float and count_zero_codes on every level; packed by one level, unpacked
// by another.
#include "core/quant/pack.h"
#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

using quant::Scheme;

// Every code of the scheme in turn, shifted from row to row.
Matrix<std::int8_t> all_codes(Scheme scheme, std::int64_t rows, std::int64_t cols) {
  const quant::SchemeRow& row = quant::row_of(scheme);
  std::vector<std::int8_t> codes;
  for (int nibble = 0; nibble < 16; ++nibble) {
    const int code = quant::code_of_nibble(row.kind, static_cast<std::uint8_t>(nibble));
    if (code >= row.min_code && code <= row.max_code) codes.push_back(static_cast<std::int8_t>(code));
  }
  Matrix<std::int8_t> matrix(rows, cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k)
      matrix.row(r)[k] = codes[static_cast<std::size_t>(k + r) % codes.size()];
  return matrix;
}

constexpr std::int64_t kWidths[] = {1, 7, 8, 31, 32, 33, 64, 100, 136, 2202, 5460};

}  // namespace

TEST_CASE("check 10: every 4-bit code survives packing, packed and unpacked by any two levels") {
  for (const Scheme scheme :
       {Scheme::int4, Scheme::int4_absmax, Scheme::int4_absmean2, Scheme::fp4, Scheme::fp4_e1m2})
    for (const std::int64_t width : kWidths) {
      const Matrix<std::int8_t> codes = all_codes(scheme, 17, width);
      Matrix<std::uint8_t> expected(17, quant::packed4_bytes(width));
      quant::reference_pack4_rows(scheme, codes.view(), expected.view());
      INFO("scheme " << quant::row_of(scheme).name << ", width " << width);
      on_every_level(
          [&] {
            Matrix<std::uint8_t> packed(17, quant::packed4_bytes(width));
            kernels::pack4_rows({scheme, codes.view(), packed.view()});
            CHECK(first_difference(packed, expected) == "");
            Matrix<std::int8_t> unpacked(17, width);
            kernels::unpack4_rows({scheme, expected.view(), unpacked.view()});
            CHECK(first_difference(unpacked, codes) == "");
          },
          width > 2000 ? 2 : 1);
    }
}

TEST_CASE("every byte unpacks to the codes of its nibbles on every level; FP4 minus zero reads as 0") {
  Matrix<std::uint8_t> packed(1, 256);
  for (int byte = 0; byte < 256; ++byte) packed.row(0)[byte] = static_cast<std::uint8_t>(byte);
  for (const Scheme scheme : {Scheme::int4, Scheme::fp4}) {
    const quant::CodeKind kind = quant::row_of(scheme).kind;
    on_every_level(
        [&] {
          Matrix<std::int8_t> codes(1, 512);
          kernels::unpack4_rows({scheme, packed.view(), codes.view()});
          for (int byte = 0; byte < 256; ++byte) {
            CHECK(int{codes.row(0)[2 * byte]} ==
                  quant::code_of_nibble(kind, static_cast<std::uint8_t>(byte & 15)));
            CHECK(int{codes.row(0)[2 * byte + 1]} ==
                  quant::code_of_nibble(kind, static_cast<std::uint8_t>(byte >> 4)));
          }
        },
        1);
  }
}

TEST_CASE("codes become the same floats on every level, from bytes and from packed nibbles") {
  for (const std::int64_t width : kWidths) {
    for (const Scheme scheme : {Scheme::int4, Scheme::fp4}) {
      const Matrix<std::int8_t> codes = all_codes(scheme, 5, width);
      Matrix<std::uint8_t> packed(5, quant::packed4_bytes(width));
      quant::reference_pack4_rows(scheme, codes.view(), packed.view());
      Matrix<float> expected(5, width);
      quant::reference_codes_to_float(scheme, {}, packed.view(), expected.view());
      CHECK(expected.row(0)[0] == static_cast<float>(codes.row(0)[0]));
      on_every_level(
          [&] {
            Matrix<float> q(5, width);
            kernels::codes_to_float({scheme, {}, packed.view(), q.view()});
            CHECK(first_difference(q, expected) == "");
          },
          2);
    }
    Matrix<std::int8_t> codes(5, width);
    Matrix<float> expected(5, width);
    for (std::int64_t r = 0; r < 5; ++r)
      for (std::int64_t k = 0; k < width; ++k) {
        codes.row(r)[k] = static_cast<std::int8_t>((k + 50 * r) % 255 - 127);
        expected.row(r)[k] = static_cast<float>((k + 50 * r) % 255 - 127);
      }
    on_every_level(
        [&] {
          Matrix<float> q(5, width);
          kernels::codes_to_float({Scheme::int8, codes.view(), {}, q.view()});
          CHECK(first_difference(q, expected) == "");
        },
        2);
  }
}

TEST_CASE("zero codes are counted within the rows only") {
  Matrix<std::int8_t> codes(3, 10);
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t k = 0; k < 10; ++k) codes.row(r)[k] = static_cast<std::int8_t>(k % 5 - 2);
  CHECK(kernels::count_zero_codes(codes.view()) == 6);
}

}  // namespace a48::test
