// G4: one token times 2-bit weights, against exact sums.
#include "tests/core/kernels/cuda/ternary_case.h"

namespace a48::test {
namespace {

void check(const TernaryCase& c) {
  const Matrix<float> expected = c.expected();
  INFO("inputs " << c.inputs() << ", outputs " << c.outputs() << ", matrices " << c.end.size());
  on_every_order([&] {
    const DeviceTernaryCase device(c);
    DeviceMatrix<float> y(1, c.outputs(), c.outputs());
    cuda::GemvArgs args;
    args.codes = device.codes();
    args.step = device.step();
    args.code_sum = device.code_sum();
    args.weight = device.operand(true);
    args.y = y.data();
    cuda::table_cuda().gemv_ternary(args, nullptr);
    CHECK(rows_difference<float>(y, expected.view()) == "");
  });
}

TernaryCase filled(std::int64_t inputs, int code, int weight) {
  Matrix<std::int8_t> codes(1, inputs), weights(3, inputs);
  std::fill_n(codes.row(0), inputs, static_cast<std::int8_t>(code));
  for (std::int64_t n = 0; n < 3; ++n) std::fill_n(weights.row(n), inputs, static_cast<std::int8_t>(weight));
  return {std::move(codes), std::move(weights), 1};
}

}  // namespace

TEST_CASE(
    "X2: one token times 2-bit weights equals the reference, odd inputs and outputs, every quantizer's "
    "codes") {
  constexpr std::int64_t kOutputs[] = {1, 2, 15, 16, 17, 40};
  std::size_t next = 0;
  for (const std::int64_t inputs : {1, 15, 16, 17, 63, 64, 65, 100, 255, 257, 2202, 5460})
    for (const int magnitude : {127, 12, 8})
      check(TernaryCase(1, inputs, kOutputs[next++ % std::size(kOutputs)], magnitude, 1));
}

TEST_CASE("one launch for fused matrices, each with its scale") {
  check(TernaryCase(1, 384, 50, 127, 3));
  check(TernaryCase(1, 136, 33, 8, 2));
}

TEST_CASE("extreme codes at the largest K: the sums of the highest bit pair hold in int32") {
  for (const int weight : {1, -1})
    for (const int code : {127, -127, -8}) check(filled(11008, code, weight));
  check(filled(std::int64_t{1} << 17, -127, 1));
}

}  // namespace a48::test
