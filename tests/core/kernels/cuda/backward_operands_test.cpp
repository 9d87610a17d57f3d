// G5: codes as floats, exact in bf16, and d ⊙ dY with one product in fp32.
#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/ternary_case.h"

namespace a48::test {
namespace {

using quant::Scheme;

template <typename Y>
Matrix<Y> as(const Matrix<float>& x) {
  if constexpr (std::is_same_v<Y, float>) {
    return x;
  } else {
    return rounded(x);
  }
}

template <typename Y>
void check_codes(Scheme scheme, std::int64_t width) {
  const quant::SchemeRow& row = quant::row_of(scheme);
  Matrix<std::int8_t> codes = random_codes(5, width, row.max_magnitude, 3);
  Matrix<std::uint8_t> packed(5, quant::packed4_bytes(width));
  const bool is_packed = row.storage_bits == 4;
  if (is_packed) {
    for (std::int64_t r = 0; r < 5; ++r)  // codes that the scheme has
      for (std::int64_t k = 0; k < width; ++k) {
        std::int8_t& code = codes.row(r)[k];
        code = static_cast<std::int8_t>(
            quant::code_of_nibble(row.kind, static_cast<std::uint8_t>(static_cast<int>(code) & 15)));
      }
    quant::reference_pack4_rows(scheme, codes.view(), packed.view());
  }
  Matrix<float> expected(5, width);
  quant::reference_codes_to_float(scheme, codes.view(), packed.view(), expected.view());
  const Matrix<Y> typed = as<Y>(expected);
  INFO(row.name << ", width " << width);
  on_every_order([&] {
    const DeviceMatrix<std::int8_t> on_device(codes.view(), cuda::code_row_bytes(width));
    const DeviceMatrix<std::uint8_t> packed_on_device(packed.view(), packed.view().cols);
    for (const std::int64_t stride : {cuda::round_up(width, 8), width + 1}) {
      DeviceMatrix<Y> q(5, width, stride);
      cuda::CodesToFloatArgs args;
      args.scheme = scheme;
      if (is_packed) {
        args.packed = packed_on_device.view();
      } else {
        args.codes = on_device.view();
      }
      args.q = q.view();
      cuda::table_cuda().codes_to_float(args, nullptr);
      CHECK(rows_difference<Y>(q, typed.view()) == "");
    }
  });
}

template <typename X, typename Y>
void check_gradient(std::int64_t width) {
  const Matrix<X> dy = as<X>(matrix_of(RowKind::gaussian, 6, width, 4));
  std::vector<float> step;
  Matrix<float> expected(6, width);
  for (std::int64_t r = 0; r < 6; ++r) {
    step.push_back(0.013f * static_cast<float>(r + 1));
    for (std::int64_t k = 0; k < width; ++k) {
      float wide;
      if constexpr (std::is_same_v<X, float>) {
        wide = dy.row(r)[k];
      } else {
        wide = quant::widen(dy.row(r)[k]);
      }
      expected.row(r)[k] = step.back() * wide;
    }
  }
  const Matrix<Y> typed = as<Y>(expected);
  INFO("width " << width);
  on_every_order([&] {
    const DeviceMatrix<float> steps = device_vector(step);
    for (const std::int64_t stride : {cuda::round_up(width, 4), width + 1}) {
      const DeviceMatrix<X> in(dy.view(), stride);
      DeviceMatrix<Y> out(6, width, stride);
      cuda::table_cuda().scaled_gradient({in.view(), steps.view().data, out.view()}, nullptr);
      CHECK(rows_difference<Y>(out, typed.view()) == "");
    }
  });
}

}  // namespace

TEST_CASE("check 14: codes of every quantizer and of weights as floats and as bf16, exact") {
  for (const Scheme scheme : {Scheme::int8, Scheme::int4, Scheme::fp4, Scheme::ternary})
    for (const std::int64_t width : {1, 3, 8, 33, 136, 2202}) {
      check_codes<float>(scheme, width);
      check_codes<quant::Bf16>(scheme, width);
    }
}

TEST_CASE("check 14: step times gradient is one fp32 product, rounded once where bf16 is stored") {
  for (const std::int64_t width : {1, 3, 8, 33, 136, 2202}) {
    check_gradient<float, float>(width);
    check_gradient<float, quant::Bf16>(width);
    check_gradient<quant::Bf16, float>(width);
    check_gradient<quant::Bf16, quant::Bf16>(width);
  }
}

}  // namespace a48::test
