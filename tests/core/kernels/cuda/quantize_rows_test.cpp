// G1 and G2: fused norm, statistic, TopK and codes of CUDA against the reference on CPU, all bits.
#include "core/quant/reference.h"
#include "core/quant/topk.h"
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {
namespace {

using quant::Scheme;

constexpr double kEps = 1e-5;

struct Expected {
  Matrix<std::int8_t> codes;
  Matrix<std::uint8_t> packed;
  std::vector<float> step, inverse_rms;
  std::vector<std::int32_t> code_sum;
  std::vector<std::uint8_t> status;
};

Expected expected_of(const Matrix<float>& x, const float* gain, Scheme scheme, std::int64_t keep) {
  const std::int64_t rows = x.view().rows, width = x.view().cols;
  const std::size_t n = static_cast<std::size_t>(rows);
  Expected e{Matrix<std::int8_t>(rows, width),
             Matrix<std::uint8_t>(rows, quant::packed4_bytes(width)),
             std::vector<float>(n),
             std::vector<float>(n),
             std::vector<std::int32_t>(n),
             std::vector<std::uint8_t>(n)};
  Matrix<float> y = x;
  if (gain != nullptr) quant::reference_rms_norm_rows(x.view(), gain, kEps, y.view(), e.inverse_rms.data());
  quant::reference_quantize_rows(y.view(), scheme, keep, e.codes.view(), e.step.data(), e.code_sum.data(),
                                 e.status.data());
  if (quant::row_of(scheme).storage_bits == 4)
    quant::reference_pack4_rows(scheme, e.codes.view(), e.packed.view());
  return e;
}

/// x on the device as fp32, rows at a stride that is a multiple of four or not; or as bf16.
enum class Input { aligned, unaligned, bf16 };

void check(const Matrix<float>& source, bool normed, Scheme scheme, std::int64_t keep, Input input) {
  const std::int64_t rows = source.view().rows, width = source.view().cols;
  Matrix<float> x = source;
  Matrix<quant::Bf16> narrow(rows, width);
  if (input == Input::bf16) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < width; ++k) {
        narrow.row(r)[k] = quant::to_bf16(x.row(r)[k]);
        x.row(r)[k] = quant::widen(narrow.row(r)[k]);
      }
  }
  std::vector<float> gain(static_cast<std::size_t>(width));
  fill_row(RowKind::gaussian, gain.data(), width, seed(), 77);
  const Expected expected = expected_of(x, normed ? gain.data() : nullptr, scheme, keep);
  const bool packs = quant::row_of(scheme).storage_bits == 4;
  const std::int64_t stride = cuda::round_up(width, 4) + (input == Input::unaligned ? 1 : 0);

  INFO("width " << width << ", " << quant::row_of(scheme).name << ", keep " << keep << ", norm " << normed
                << ", input " << static_cast<int>(input));
  on_every_order([&] {
    const DeviceMatrix<float> wide(x.view(), stride);
    const DeviceMatrix<quant::Bf16> half(narrow.view(), stride);
    const DeviceMatrix<float> gains = device_vector(gain);
    DeviceMatrix<std::int8_t> codes(rows, width, cuda::code_row_bytes(width) + 64);
    DeviceMatrix<std::uint8_t> packed(rows, quant::packed4_bytes(width), quant::packed4_bytes(width));
    DeviceMatrix<float> step(1, rows, rows), inverse_rms(1, rows, rows);
    DeviceMatrix<std::int32_t> code_sum(1, rows, rows);
    DeviceMatrix<std::uint8_t> status(1, rows, rows);
    cuda::QuantizeArgs args;
    if (input == Input::bf16) {
      args.x = half.view();
    } else {
      args.x = wide.view();
    }
    args.gain = normed ? gains.view().data : nullptr;
    args.eps = kEps;
    args.scheme = scheme;
    args.keep = keep;
    args.codes = codes.view();
    if (packs) args.packed = packed.view();
    args.step = step.data();
    args.code_sum = code_sum.data();
    args.status = status.data();
    args.inverse_rms = normed ? inverse_rms.data() : nullptr;
    cuda::table_cuda().quantize_rows(args, nullptr);

    CHECK(rows_difference<std::int8_t>(codes, expected.codes.view(), cuda::code_row_bytes(width), 0) == "");
    if (packs) CHECK(rows_difference<std::uint8_t>(packed, expected.packed.view()) == "");
    CHECK(first_difference(step.all(), expected.step) == "");
    CHECK(first_difference(code_sum.all(), expected.code_sum) == "");
    CHECK(first_difference(status.all(), expected.status) == "");
    if (normed) CHECK(first_difference(inverse_rms.all(), expected.inverse_rms) == "");
  });
}

}  // namespace

TEST_CASE("check 8: codes, steps, sums and flags of every quantizer equal the CPU's, all kinds of rows") {
  for (const std::int64_t width : kRowWidths) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const Scheme scheme : kActivationSchemes) check(x, false, scheme, 0, Input::aligned);
    check(x, false, Scheme::int4, 0, Input::unaligned);
    check(x, false, Scheme::int8, 0, Input::bf16);
  }
}

TEST_CASE("check 8: with the norm in front, statistics and r too") {
  for (const std::int64_t width : kRowWidths) {
    const Matrix<float> x = matrix_of_all_kinds(width, 1);
    check(x, true, Scheme::int8, 0, Input::aligned);
    check(x, true, Scheme::int4, 0, Input::bf16);
    check(x, true, Scheme::fp4, 0, Input::unaligned);
  }
}

TEST_CASE("check 11: with TopK, ties to the lowest index, the statistic that of the whole row") {
  for (const std::int64_t width : {1, 3, 64, 136, 816, 1536}) {
    const Matrix<float> x = matrix_of_all_kinds(width, 2);
    for (const double share : {0.1, 0.5, 0.55, 1.0}) {
      const std::int64_t keep = quant::topk_count(share, width);
      check(x, false, Scheme::int8, keep, Input::aligned);
    }
    check(x, true, Scheme::int8, quant::topk_count(0.5, width), Input::bf16);
  }
}

TEST_CASE("wide rows: 512 threads, and more shared memory than a kernel has without asking") {
  check(matrix_of(RowKind::gaussian, 2, 11008), true, Scheme::int8, 5504, Input::aligned);
  check(matrix_of(RowKind::ties, 1, cuda::kMostRowWidth), false, Scheme::int4, 0, Input::aligned);
}

TEST_CASE("quantize_rows of no rows does nothing") {
  on_every_order([] {
    cuda::QuantizeArgs args;
    args.x = Rows<const float>(nullptr, 0, 8);
    args.codes = Rows<std::int8_t>(nullptr, 0, 8, 64);
    cuda::table_cuda().quantize_rows(args, nullptr);
    CHECK(true);
  });
}

TEST_CASE("an activation on the way in: codes of the norm of act(gate) ⊙ up, and how many gates are closed") {
  for (const std::int64_t width : {1, 62, 100, 1030}) {
    const Matrix<float> gate = matrix_of(RowKind::gaussian, 3, width, 1);
    const Matrix<float> up = matrix_of(RowKind::gaussian, 3, width, 2);
    const std::vector<float> gain(static_cast<std::size_t>(width), 0.7f);
    for (const kernels::GluKind kind : {kernels::GluKind::relu2, kernels::GluKind::silu}) {
      const bool relu2 = kind == kernels::GluKind::relu2;
      Matrix<float> product(3, width);
      (relu2 ? quant::reference_relu2_glu_rows : quant::reference_silu_glu_rows)(gate.view(), up.view(),
                                                                                 product.view());
      const Expected expected = expected_of(product, gain.data(), Scheme::int8, 0);
      unsigned long long zeros = 0, closed = 0;
      for (std::int64_t r = 0; r < 3; ++r)
        for (std::int64_t k = 0; k < width; ++k) {
          zeros += expected.codes.row(r)[k] == 0;
          closed += relu2 ? gate.row(r)[k] <= 0.0f : gate.row(r)[k] == 0.0f;
        }
      INFO("width " << width << ", relu2 " << relu2);
      on_every_order([&] {
        const DeviceMatrix<float> gates(gate.view(), width + 1), ups(up.view(), cuda::round_up(width, 4)),
            gains = device_vector(gain);
        DeviceMatrix<std::int8_t> codes(3, width, cuda::code_row_bytes(width));
        DeviceMatrix<float> step(1, 3, 3);
        DeviceMatrix<std::int32_t> code_sum(1, 3, 3);
        DeviceMatrix<std::uint8_t> status(1, 3, 3);
        DeviceMatrix<cuda::Counter> counts = device_vector(std::vector<cuda::Counter>{5, 7});
        cuda::QuantizeArgs args;
        args.x = gates.view();
        args.up = ups.view();
        args.glu = kind;
        args.gain = gains.view().data;
        args.eps = kEps;
        args.codes = codes.view();
        args.step = step.data();
        args.code_sum = code_sum.data();
        args.status = status.data();
        args.zeros = counts.data();
        args.closed = counts.data() + 1;
        cuda::table_cuda().quantize_rows(args, nullptr);
        CHECK(rows_difference<std::int8_t>(codes, expected.codes.view(), cuda::code_row_bytes(width)) == "");
        CHECK(step.all() == expected.step);
        CHECK(code_sum.all() == expected.code_sum);
        CHECK(counts.all() == std::vector<cuda::Counter>{5 + zeros, 7 + closed});
      });
    }
  }
}

}  // namespace a48::test
