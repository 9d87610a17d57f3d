// RMSNorm of CUDA: the forward pass in all bits, the derivative within its roundings.
#include <cmath>

#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/float_rows.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

constexpr double kEps = 1e-5;

std::vector<float> gain_of(std::int64_t width) {
  std::vector<float> gain(static_cast<std::size_t>(width));
  fill_row(RowKind::gaussian, gain.data(), width, seed(), 91);
  return gain;
}

template <typename X, typename Y>
void check_forward(const Matrix<float>& source) {
  const std::int64_t rows = source.view().rows, width = source.view().cols;
  const Matrix<float> x = kept_by<X>(source);
  const Matrix<X> stored = stored_as<X>(source);
  const std::vector<float> gain = gain_of(width);
  Matrix<float> expected(rows, width);
  std::vector<float> expected_rms(static_cast<std::size_t>(rows));
  quant::reference_rms_norm_rows(x.view(), gain.data(), kEps, expected.view(), expected_rms.data());
  const Matrix<float> kept = kept_by<Y>(expected);
  INFO(rows << " x " << width);
  on_every_order([&] {
    const DeviceMatrix<float> gains = device_vector(gain);
    for (const std::int64_t stride : {cuda::round_up(width, 8), width + 1}) {
      const DeviceMatrix<X> in(stored.view(), stride);
      DeviceMatrix<Y> y(rows, width, stride);
      DeviceMatrix<float> inverse_rms(1, rows, rows);
      cuda::table_cuda().rms_norm_rows({.x = in.view(),
                                        .gain = gains.view().data,
                                        .eps = kEps,
                                        .y = y.view(),
                                        .inverse_rms = inverse_rms.data()},
                                       nullptr);
      CHECK(difference_as_float(y, kept) == "");
      CHECK(first_difference(inverse_rms.all(), expected_rms) == "");
    }
  });
}

/// The formula in double, with bounds of its fp32 roundings: a dot product of `width` terms in dx, a sum of
/// `rows` terms in dgain, a few operations on each.
template <typename X, typename G>
void check_backward(std::int64_t rows, std::int64_t width, std::int64_t parts) {
  constexpr std::int64_t kOperations = 8;
  const Matrix<float> x = kept_by<X>(matrix_of(RowKind::gaussian, rows, width, 5)),
                      dy = kept_by<G>(matrix_of(RowKind::gaussian, rows, width, 6));
  const Matrix<X> x_stored = stored_as<X>(x);
  const Matrix<G> dy_stored = stored_as<G>(dy);
  const std::vector<float> gain = gain_of(width);
  Matrix<float> y(rows, width);
  std::vector<float> inverse_rms(static_cast<std::size_t>(rows));
  quant::reference_rms_norm_rows(x.view(), gain.data(), kEps, y.view(), inverse_rms.data());
  INFO(rows << " x " << width << ", " << parts << " parts");
  on_every_order([&] {
    const DeviceMatrix<float> gains = device_vector(gain), rms = device_vector(inverse_rms);
    const DeviceMatrix<X> x_in(x_stored.view(), width + width % 3);
    const DeviceMatrix<G> dy_in(dy_stored.view(), cuda::round_up(width, 4));
    DeviceMatrix<X> dx(rows, width, cuda::round_up(width, 4));
    DeviceMatrix<float> dgain_parts(parts, width, width);
    cuda::table_cuda().rms_norm_backward_rows({.x = x_in.view(),
                                               .dy = dy_in.view(),
                                               .gain = gains.view().data,
                                               .inverse_rms = rms.view().data,
                                               .dx = dx.view(),
                                               .dgain_parts = dgain_parts.view()},
                                              nullptr);
    const std::vector<X> found = dx.all();
    const std::vector<float> found_parts = dgain_parts.all();
    std::int64_t wrong = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double s = inverse_rms[static_cast<std::size_t>(r)];
      double dot = 0.0, size = 0.0;
      for (std::int64_t k = 0; k < width; ++k) {
        const double term =
            static_cast<double>(gain[static_cast<std::size_t>(k)]) * dy.row(r)[k] * x.row(r)[k];
        dot += term;
        size += std::abs(term);
      }
      const double cube = s * s * s / static_cast<double>(width);
      for (std::int64_t k = 0; k < width; ++k) {
        const double first = s * gain[static_cast<std::size_t>(k)] * dy.row(r)[k];
        const double wanted = first - x.row(r)[k] * cube * dot;
        double bound = dot_tolerance(width + kOperations, std::abs(x.row(r)[k]) * cube * size) +
                       chain_tolerance(kOperations, first);
        double value;
        const X element = found[static_cast<std::size_t>(r * dx.view().stride + k)];
        if constexpr (std::is_same_v<X, float>) {
          value = element;
        } else {
          value = quant::widen(element);
          bound += kUnitRoundoffBf16 * (std::abs(wanted) + bound);
        }
        wrong += !(std::abs(value - wanted) <= bound);
      }
    }
    for (std::int64_t k = 0; k < width; ++k) {
      double wanted = 0.0, size = 0.0, value = 0.0;
      for (std::int64_t r = 0; r < rows; ++r) {
        const double term = static_cast<double>(dy.row(r)[k]) * x.row(r)[k] *
                            static_cast<double>(inverse_rms[static_cast<std::size_t>(r)]);
        wanted += term;
        size += std::abs(term);
      }
      for (std::int64_t p = 0; p < parts; ++p) value += found_parts[static_cast<std::size_t>(p * width + k)];
      wrong += !(std::abs(value - wanted) <= dot_tolerance(rows + kOperations, size));
    }
    CHECK(wrong == 0);
  });
}

}  // namespace

TEST_CASE("check 18: RMSNorm and r equal the CPU's, all kinds of rows, fp32 and bf16") {
  for (const std::int64_t width : {1, 3, 8, 33, 136, 2202}) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    check_forward<float, float>(x);
    check_forward<quant::Bf16, quant::Bf16>(x);
    check_forward<quant::Bf16, float>(x);
  }
}

TEST_CASE("the derivative of RMSNorm, rows shared out over blocks, more blocks than rows and fewer") {
  for (const std::int64_t width : {1, 7, 136, 1100}) {
    check_backward<float, float>(9, width, 4);
    check_backward<quant::Bf16, quant::Bf16>(3, width, 5);
    check_backward<quant::Bf16, float>(5, width, 1);
  }
}

}  // namespace a48::test
