// stat_rows, encode_rows and quantize_rows on every level against core/quant/reference, and their statistics
// on Gaussian rows.
#include <cmath>
#include <limits>

#include "core/quant/math.h"
#include "core/quant/reference.h"
#include "core/quant/topk.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

using quant::Scheme;

struct Quantized {
  Matrix<std::int8_t> codes;
  std::vector<float> step;
  std::vector<std::int32_t> code_sum;
  std::vector<std::uint8_t> status;

  Quantized(std::int64_t rows, std::int64_t cols)
      : codes(rows, cols),
        step(static_cast<std::size_t>(rows)),
        code_sum(static_cast<std::size_t>(rows)),
        status(static_cast<std::size_t>(rows), 9) {}
};

Quantized reference(const Matrix<float>& x, Scheme scheme, std::int64_t keep) {
  Quantized q(x.view().rows, x.view().cols);
  quant::reference_quantize_rows(x.view(), scheme, keep, q.codes.view(), q.step.data(), q.code_sum.data(),
                                 q.status.data());
  return q;
}

Quantized quantize(const Matrix<float>& x, Scheme scheme, std::int64_t keep = 0) {
  Quantized q(x.view().rows, x.view().cols);
  kernels::quantize_rows({.x = x.view(),
                          .scheme = scheme,
                          .keep = keep,
                          .codes = q.codes.view(),
                          .step = q.step.data(),
                          .code_sum = q.code_sum.data(),
                          .status = q.status.data()});
  return q;
}

void check_equal(const Quantized& found, const Quantized& expected) {
  CHECK(first_difference(found.codes, expected.codes) == "");
  CHECK(first_difference(found.step, expected.step) == "");
  CHECK(first_difference(found.code_sum, expected.code_sum) == "");
  CHECK(first_difference(found.status, expected.status) == "");
}

}  // namespace

TEST_CASE(
    "check 1: INT8 codes equal the scalar reference on 10^6 values; the row maximum maps to 127; -128 never "
    "occurs") {
  const std::int64_t rows = 1000, cols = 1000;
  const Matrix<float> x = matrix_of(RowKind::gaussian, rows, cols);
  const Quantized expected = reference(x, Scheme::int8, 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t largest = 0;
    int lowest_code = 0;
    for (std::int64_t k = 0; k < cols; ++k) {
      if (std::fabs(x.row(r)[k]) > std::fabs(x.row(r)[largest])) largest = k;
      lowest_code = std::min(lowest_code, int{expected.codes.row(r)[k]});
    }
    REQUIRE(int{expected.codes.row(r)[largest]} == (x.row(r)[largest] > 0 ? 127 : -127));
    REQUIRE(lowest_code >= -127);
  }
  on_every_level([&] { check_equal(quantize(x, Scheme::int8), expected); }, 2);
}

TEST_CASE(
    "check 8: codes, steps, sums and flags are bit-equal on every level, for 1 to 4 threads, any row and "
    "width") {
  for (const std::int64_t width : kRowWidths) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const Scheme scheme : kActivationSchemes) {
      const Quantized expected = reference(x, scheme, 0);
      INFO("width " << width << ", scheme " << quant::row_of(scheme).name);
      on_every_level([&] { check_equal(quantize(x, scheme), expected); }, width > 1000 ? 4 : 1);
    }
  }
}

TEST_CASE("TopK inside quantize_rows equals the reference on every level") {
  for (const std::int64_t width : {1, 3, 7, 33, 100, 384, 1000}) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const Scheme scheme : {Scheme::int8, Scheme::int4, Scheme::fp4})
      for (const double share : {0.1, 0.5, 0.55, 1.0}) {
        const std::int64_t keep = quant::topk_count(share, width);
        const Quantized expected = reference(x, scheme, keep);
        INFO("width " << width << ", keep " << keep << ", scheme " << quant::row_of(scheme).name);
        on_every_level([&] { check_equal(quantize(x, scheme, keep), expected); }, 1);
      }
  }
}

TEST_CASE("statistic and encode, one after the other, equal quantize_rows on every level") {
  for (const std::int64_t width : {7, 136, 384}) {
    const Matrix<float> x = matrix_of_all_kinds(width);
    for (const Scheme scheme : kActivationSchemes) {
      const Quantized expected = reference(x, scheme, 0);
      const std::size_t rows = static_cast<std::size_t>(x.view().rows);
      INFO("width " << width << ", scheme " << quant::row_of(scheme).name);
      on_every_level([&] {
        Quantized q(x.view().rows, width);
        std::vector<float> stat(rows);
        kernels::stat_rows({x.view(), scheme, stat.data(), q.status.data()});
        kernels::encode_rows({x.view(), scheme, stat.data(), q.status.data(), q.codes.view(), q.step.data(),
                              q.code_sum.data()});
        check_equal(q, expected);
      });
    }
  }
}

TEST_CASE("encode_rows clips whatever the statistic is, on every level") {
  const Matrix<float> x = matrix_of(RowKind::huge, 3, 70);
  std::vector<float> stat{1e-5f, 1.0f, 1e38f};
  const std::vector<std::uint8_t> status(3, kernels::kRowFinite);
  for (const Scheme scheme : kActivationSchemes) {
    Quantized expected(3, 70);
    quant::reference_encode_rows(x.view(), scheme, stat.data(), status.data(), expected.codes.view(),
                                 expected.step.data(), expected.code_sum.data());
    INFO("scheme " << quant::row_of(scheme).name);
    on_every_level([&] {
      Quantized q(3, 70);
      kernels::encode_rows(
          {x.view(), scheme, stat.data(), status.data(), q.codes.view(), q.step.data(), q.code_sum.data()});
      CHECK(first_difference(q.codes, expected.codes) == "");
      CHECK(first_difference(q.step, expected.step) == "");
    });
  }
}

TEST_CASE(
    "check 5: products of +-0.5, +-1.5, +-2.5 round to 0, +-2, +-2 in every integer quantizer, on every "
    "level") {
  const std::vector<float> products{0.5f, -0.5f, 1.5f, -1.5f, 2.5f, -2.5f};
  const std::vector<int> codes{0, 0, 2, -2, 2, -2};
  const std::int64_t width = 37;
  // The statistic whose reciprocal is exactly 1 makes the products the inputs.
  for (const Scheme scheme : {Scheme::int8, Scheme::int4, Scheme::int4_absmax, Scheme::int4_absmean2,
                              Scheme::fp4_e1m2, Scheme::ternary}) {
    const quant::SchemeRow& row = quant::row_of(scheme);
    const float stat = row.inverse_numerator;
    REQUIRE(quant::inv_of(row, stat) == 1.0f);
    Matrix<float> x(1, width);
    for (std::int64_t k = 0; k < width; ++k)
      x.row(0)[k] = products[static_cast<std::size_t>(k) % products.size()];
    const std::uint8_t status = kernels::kRowFinite;
    INFO("scheme " << row.name);
    on_every_level([&] {
      Quantized q(1, width);
      kernels::encode_rows(
          {x.view(), scheme, &stat, &status, q.codes.view(), q.step.data(), q.code_sum.data()});
      for (std::int64_t k = 0; k < width; ++k) {
        const int expected = codes[static_cast<std::size_t>(k) % codes.size()];
        const int clipped = std::max(row.min_code, std::min(row.max_code, expected));
        CHECK(int{q.codes.row(0)[k]} == clipped);
      }
    });
  }
}

TEST_CASE(
    "check 6: rows of zeros, denormals, below the floor and with one huge outlier give finite codes and "
    "steps") {
  for (const RowKind kind : {RowKind::zeros, RowKind::minus_zeros, RowKind::denormals, RowKind::below_floor,
                             RowKind::outlier, RowKind::huge}) {
    const Matrix<float> x = matrix_of(kind, 2, 136);
    for (const Scheme scheme : kActivationSchemes) {
      INFO("kind " << static_cast<int>(kind) << ", scheme " << quant::row_of(scheme).name);
      on_every_level(
          [&] {
            const Quantized q = quantize(x, scheme);
            for (std::int64_t r = 0; r < 2; ++r) {
              CHECK(q.status[static_cast<std::size_t>(r)] == kernels::kRowFinite);
              const float step = q.step[static_cast<std::size_t>(r)];
              CHECK((std::isfinite(step) && step > 0.0f));
              if (kind != RowKind::zeros && kind != RowKind::minus_zeros) continue;
              CHECK(q.code_sum[static_cast<std::size_t>(r)] == 0);
              for (std::int64_t k = 0; k < 136; ++k) {
                CHECK(int{q.codes.row(r)[k]} == 0);
                CHECK(same_bits(quant::decode(q.codes.row(r)[k], step), 0.0f));
              }
            }
          },
          1);
    }
  }
}

TEST_CASE(
    "check 7, kernel part: one NaN or Inf in a row writes zero codes and the flag, other rows are as "
    "before") {
  const Matrix<float> clean = matrix_of(RowKind::gaussian, 3, 100);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (const std::int64_t place : {0, 31, 63, 96, 99})
      for (const Scheme scheme : kActivationSchemes)
        for (const std::int64_t keep : {0, 50}) {
          Matrix<float> x = clean;
          x.row(1)[place] = bad;
          const Quantized expected = reference(clean, scheme, keep);
          INFO("value " << bad << " at " << place << ", scheme " << quant::row_of(scheme).name << ", keep "
                        << keep);
          on_every_level(
              [&] {
                const Quantized q = quantize(x, scheme, keep);
                CHECK(q.status == std::vector<std::uint8_t>{kernels::kRowFinite, kernels::kRowNonFinite,
                                                            kernels::kRowFinite});
                CHECK(q.step[1] == quant::step_of(quant::row_of(scheme), quant::kStatisticFloor));
                CHECK(q.code_sum[1] == 0);
                const std::vector<std::int8_t> zeros(100, 0);
                CHECK(first_difference(q.codes.row(1), zeros.data(), 100) == "");
                for (const std::int64_t r : {0, 2})
                  CHECK(first_difference(q.codes.row(r), expected.codes.row(r), 100) == "");
              },
              1);
        }
}

TEST_CASE("check 2: INT4 and INT8 on Gaussian rows have the stated zeros, clipping, gain and error") {
  const std::int64_t rows = 4096, cols = 1024;
  const Matrix<float> x = matrix_of(RowKind::gaussian, rows, cols);
  const double count = static_cast<double>(rows * cols);
  const auto measure = [&](Scheme scheme) {
    const Quantized q = quantize(x, scheme);
    double xx = 0, xy = 0, difference = 0;
    std::int64_t zeros = 0, high = 0, low = 0;
    const quant::SchemeRow& row = quant::row_of(scheme);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float step = q.step[static_cast<std::size_t>(r)];
      for (std::int64_t k = 0; k < cols; ++k) {
        const int code = q.codes.row(r)[k];
        const double value = x.row(r)[k], decoded = quant::decode(code, step);
        zeros += code == 0;
        // Clipped: the unclipped code would lie outside.
        high += std::rint(value / step) > row.max_code;
        low += std::rint(value / step) < row.min_code;
        xx += value * value;
        xy += value * decoded;
        difference += (value - decoded) * (value - decoded);
      }
    }
    struct {
      double zeros, high, low, gain, error;
    } result{static_cast<double>(zeros) / count, static_cast<double>(high) / count,
             static_cast<double>(low) / count, xy / xx, std::sqrt(difference / xx)};
    return result;
  };
  const auto int4 = measure(Scheme::int4);
  CHECK(std::abs(int4.zeros - 0.1198) <= kInt4Zeros);
  CHECK(std::abs(int4.high - 0.0119) <= kInt4Clipped);
  CHECK(std::abs(int4.low - 0.0052) <= kInt4Clipped);
  CHECK(std::abs(int4.gain - 0.975) <= kInt4Gain);
  CHECK(std::abs(int4.error - 0.1145) <= kInt4Error);
  CHECK(measure(Scheme::int8).error < kInt8Error);
}

TEST_CASE("check 3: INT4 of an all-ones row is 3/sqrt(7) everywhere, on every level") {
  Matrix<float> x(2, 100);
  for (std::int64_t r = 0; r < 2; ++r)
    for (std::int64_t k = 0; k < 100; ++k) x.row(r)[k] = 1.0f;
  on_every_level([&] {
    const Quantized q = quantize(x, Scheme::int4);
    for (std::int64_t k = 0; k < 100; ++k) {
      CHECK(int{q.codes.row(0)[k]} == 3);
      CHECK(quant::decode(q.codes.row(0)[k], q.step[0]) ==
            Approx(3.0 / std::sqrt(7.0)).epsilon(chain_tolerance(3, 1.0)));
    }
  });
}

TEST_CASE(
    "check 4: FP4 codes of every bound and its neighbours, and of the whole range, equal the table on every "
    "level") {
  const std::vector<float> bounds{0.0f, 0.25f, 0.5f, 0.75f, 1.0f, 1.25f, 1.5f, 1.75f,
                                  2.0f, 2.5f,  3.0f, 3.5f,  4.0f, 5.0f,  6.0f};
  std::vector<float> values;
  for (const float bound : bounds)
    for (const float y : {std::nextafter(bound, 0.0f), bound, std::nextafter(bound, 9.0f)}) {
      values.push_back(y);
      values.push_back(-y);
    }
  for (float y = 0.0f; y < 6.5f; y += 0x1p-8f) values.push_back(y);
  const std::int64_t width = static_cast<std::int64_t>(values.size());
  Matrix<float> x(1, width);
  for (std::int64_t k = 0; k < width; ++k) x.row(0)[k] = values[static_cast<std::size_t>(k)];
  const float stat = 6.0f;  // inv = 1
  const std::uint8_t status = kernels::kRowFinite;
  on_every_level([&] {
    Quantized q(1, width);
    kernels::encode_rows(
        {x.view(), Scheme::fp4, &stat, &status, q.codes.view(), q.step.data(), q.code_sum.data()});
    CHECK(q.step[0] == 0.5f);
    for (std::int64_t k = 0; k < width; ++k) {
      // The nearest grid value; a tie goes to the even index.
      const double y = std::fabs(static_cast<double>(x.row(0)[k]));
      const double grid[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
      int best = 0;
      for (int i = 1; i < 8; ++i) {
        const double before = std::fabs(y - grid[best]), now = std::fabs(y - grid[i]);
        if (now < before || (now == before && i % 2 == 0)) best = i;
      }
      const double value = x.row(0)[k] < 0 ? -grid[best] : grid[best];
      CHECK(quant::decode(q.codes.row(0)[k], q.step[0]) == static_cast<float>(value == 0 ? 0.0 : value));
    }
  });
}

TEST_CASE("changing another row changes no code") {
  const Matrix<float> x = matrix_of(RowKind::gaussian, 4, 200);
  Matrix<float> other = matrix_of(RowKind::outlier, 4, 200, 1);
  std::memcpy(other.row(2), x.row(2), 200 * sizeof(float));
  for (const Scheme scheme : kActivationSchemes)
    on_every_level(
        [&] {
          const Quantized a = quantize(x, scheme, 100), b = quantize(other, scheme, 100);
          CHECK(first_difference(a.codes.row(2), b.codes.row(2), 200) == "");
          CHECK(same_bits(a.step[2], b.step[2]));
        },
        2);
}

}  // namespace a48::test
