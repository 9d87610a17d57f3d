// Packed codes and ternary words on the device: equal to the reference byte for byte, padding too.
#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/ternary_case.h"

namespace a48::test {
namespace {

using quant::Scheme;
using quant::TernaryLayout;

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

}  // namespace

TEST_CASE("check 10: every 4-bit code survives packing on the device, packed as on CPU") {
  for (const Scheme scheme : {Scheme::int4, Scheme::int4_absmax, Scheme::fp4, Scheme::fp4_e1m2})
    for (const std::int64_t width : {1, 7, 8, 100, 136, 2202}) {
      const Matrix<std::int8_t> codes = all_codes(scheme, 17, width);
      Matrix<std::uint8_t> expected(17, quant::packed4_bytes(width));
      quant::reference_pack4_rows(scheme, codes.view(), expected.view());
      INFO(quant::row_of(scheme).name << ", width " << width);
      on_every_order([&] {
        const DeviceMatrix<std::int8_t> on_device(codes.view(), width + 3);
        DeviceMatrix<std::uint8_t> packed(17, expected.view().cols, expected.view().cols + 1);
        DeviceMatrix<std::int8_t> again(17, width, width);
        cuda::table_cuda().pack4_rows({scheme, on_device.view(), packed.view()}, nullptr);
        cuda::table_cuda().unpack4_rows({scheme, packed.view(), again.view()}, nullptr);
        CHECK(rows_difference<std::uint8_t>(packed, expected.view()) == "");
        CHECK(rows_difference<std::int8_t>(again, codes.view()) == "");
      });
    }
}

TEST_CASE(
    "check 10: words from codes and from every packed layout hold each weight at its place, padding 0") {
  for (const std::int64_t inputs : {1, 7, 16, 100, 257})
    for (const std::int64_t outputs : {1, 6, 130}) {
      const Matrix<std::int8_t> codes = random_codes(outputs, inputs, 1, 9);
      INFO(outputs << " x " << inputs);
      on_every_order([&] {
        const auto check = [&](cuda::TernaryWordsArgs args) {
          const std::int64_t count = cuda::ternary_row_words(inputs);
          DeviceMatrix<std::uint32_t> words(outputs, count, count);
          args.outputs = outputs;
          args.inputs = inputs;
          args.words = words.view();
          cuda::table_cuda().ternary_words(args, nullptr);
          const std::vector<std::uint32_t> found = words.all();
          std::int64_t wrong = 0;
          for (std::int64_t n = 0; n < outputs; ++n)
            for (std::int64_t k = 0; k < count * cuda::kWordInputs; ++k) {
              const std::uint32_t word = found[static_cast<std::size_t>(n * count + k / cuda::kWordInputs)];
              const int expected = k < inputs ? codes.row(n)[k] : 0;
              wrong += cuda::ternary_of(word, static_cast<int>(k % cuda::kWordInputs)) != expected;
            }
          CHECK(wrong == 0);
        };
        const DeviceMatrix<std::int8_t> on_device(codes.view(), inputs + 1);
        cuda::TernaryWordsArgs args;
        args.codes = on_device.view();
        check(args);
        for (const TernaryLayout layout :
             {TernaryLayout::t2_row, TernaryLayout::t2_col, TernaryLayout::t2_row4}) {
          const std::int64_t bytes = quant::stored_row_bytes(layout, outputs, inputs);
          Matrix<std::uint8_t> stored(quant::stored_rows(layout, outputs, inputs), bytes);
          quant::reference_pack_ternary(layout, codes.view(), stored.view());
          const DeviceMatrix<std::uint8_t> stored_on_device(stored.view(), bytes);
          cuda::TernaryWordsArgs from_stored;
          from_stored.stored = stored_on_device.view();
          from_stored.layout = layout;
          check(from_stored);
        }
      });
    }
}

TEST_CASE("the worked example of layout.h") {
  const std::vector<std::int8_t> t = {1, -1, 0, 1};
  on_every_order([&] {
    const DeviceMatrix<std::int8_t> codes = device_vector(t);
    DeviceMatrix<std::uint32_t> words(1, 16, 16);
    cuda::TernaryWordsArgs args;
    args.outputs = 1;
    args.inputs = 4;
    args.codes = codes.view();
    args.words = words.view();
    cuda::table_cuda().ternary_words(args, nullptr);
    CHECK(words.all()[0] == 0x56555456u);
  });
}

}  // namespace a48::test
