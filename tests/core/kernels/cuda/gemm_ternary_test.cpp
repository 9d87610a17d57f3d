// G3: the tensor-core product against exact sums, int8 and packed weights, and scale_rows after it.
#include "tests/core/kernels/cuda/ternary_case.h"

namespace a48::test {
namespace {

/// In every form of weights and results, or with fp32 results and the given form of weights.
void check(const TernaryCase& c, const std::vector<bool>& packings = {false, true}, bool as_bf16_too = true) {
  const Matrix<float> expected = c.expected();
  const Matrix<quant::Bf16> expected_bf16 = rounded(expected);
  INFO("rows " << c.rows() << ", inputs " << c.inputs() << ", outputs " << c.outputs() << ", matrices "
               << c.end.size());
  on_every_order([&] {
    const DeviceTernaryCase device(c);
    for (const bool packed : packings) {
      INFO("packed " << packed);
      DeviceMatrix<float> y(c.rows(), c.outputs(), c.outputs() + c.rows() % 3);
      cuda::table_cuda().gemm_ternary(device.gemm(packed, y.view()), nullptr);
      CHECK(rows_difference<float>(y, expected.view()) == "");
      if (!as_bf16_too) continue;
      DeviceMatrix<quant::Bf16> narrow(c.rows(), c.outputs(), c.outputs() + c.rows() % 2);
      cuda::table_cuda().gemm_ternary(device.gemm(packed, narrow.view()), nullptr);
      CHECK(rows_difference<quant::Bf16>(narrow, expected_bf16.view()) == "");
    }
  });
}

TernaryCase filled(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, int code, int weight) {
  Matrix<std::int8_t> codes(rows, inputs), weights(outputs, inputs);
  for (std::int64_t r = 0; r < rows; ++r) std::fill_n(codes.row(r), inputs, static_cast<std::int8_t>(code));
  for (std::int64_t n = 0; n < outputs; ++n)
    std::fill_n(weights.row(n), inputs, static_cast<std::int8_t>(weight));
  return {std::move(codes), std::move(weights), 1};
}

}  // namespace

TEST_CASE("check 12, X2: products equal the reference, odd rows, inputs and outputs, both tiles") {
  constexpr std::int64_t kInputs[] = {1, 31, 64, 65, 100, 256, 300};
  constexpr std::int64_t kOutputs[] = {1, 7, 8, 127, 130};
  std::size_t next = 0;
  for (const std::int64_t rows : {1, 5, 16, 17, 40, 130}) {
    for (int i = 0; i < 3; ++i, ++next)
      check(TernaryCase(rows, kInputs[next % std::size(kInputs)], kOutputs[next % std::size(kOutputs)], 127,
                        1));
  }
}

TEST_CASE("fused matrices keep their own scales") {
  check(TernaryCase(3, 100, 17, 127, 3));
  check(TernaryCase(20, 136, 200, 8, 2));
}

TEST_CASE("check 12: extreme codes at the largest K of a model, and at that of an exact fp32 sum") {
  check(filled(2, 11008, 3, 127, 1), {false, true}, false);
  check(filled(17, 5460, 2, 127, -1), {false, true}, false);
#if !defined(__SANITIZE_ADDRESS__)  // minutes there, and no other addresses
  check(filled(1, 132104, 1, -127, 1), {true}, false);
#endif
}

TEST_CASE("gemm_ternary of no rows does nothing") {
  const TernaryCase c(0, 64, 8, 127, 1);
  on_every_order([&] {
    DeviceMatrix<float> y(0, 8, 8);
    const DeviceTernaryCase device(c);
    cuda::table_cuda().gemm_ternary(device.gemm(false, y.view()), nullptr);
    CHECK(true);
  });
}

TEST_CASE("scale_rows: the epilogue on sums from elsewhere") {
  const TernaryCase c(9, 33, 300, 127, 3);
  const Matrix<float> expected = c.expected();
  const Matrix<quant::Bf16> expected_bf16 = rounded(expected);
  Matrix<std::int32_t> acc(c.rows(), c.outputs());
  for (std::int64_t r = 0; r < c.rows(); ++r)
    for (std::int64_t n = 0; n < c.outputs(); ++n) {
      acc.row(r)[n] = 0;
      for (std::int64_t k = 0; k < c.inputs(); ++k) acc.row(r)[n] += c.codes.row(r)[k] * c.weight.row(n)[k];
    }
  on_every_order([&] {
    const DeviceTernaryCase device(c);
    const DeviceMatrix<std::int32_t> sums(acc.view(), c.outputs() + 3);
    DeviceMatrix<float> y(c.rows(), c.outputs(), c.outputs());
    DeviceMatrix<quant::Bf16> narrow(c.rows(), c.outputs(), c.outputs());
    cuda::ScaleArgs args;
    args.acc = sums.view();
    args.step = device.step();
    args.weight = device.operand(false);
    args.y = y.view();
    cuda::table_cuda().scale_rows(args, nullptr);
    args.y = narrow.view();
    cuda::table_cuda().scale_rows(args, nullptr);
    CHECK(rows_difference<float>(y, expected.view()) == "");
    CHECK(rows_difference<quant::Bf16>(narrow, expected_bf16.view()) == "");
  });
}

}  // namespace a48::test
