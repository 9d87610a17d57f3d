// gemm_bf16 on every level and for 1 to 4 threads against a product in fp64 of the operands rounded to bf16
// one by one: every way to give an operand, odd sizes, strides, several blocks of inputs, rows and panels,
// values at both ends of the range. Levels and numbers of threads give the same bits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

using quant::Scheme;

struct Form {
  bool transposed, row_scale;
  Scheme scheme;  // of b; fp = floats
  bool packed;
  bool accumulate;
};

constexpr Form kForms[] = {
    {false, false, Scheme::ternary, false, false}, {false, false, Scheme::ternary, false, true},
    {true, true, Scheme::int8, false, false},      {true, true, Scheme::int4, true, false},
    {true, true, Scheme::fp4, true, true},         {false, false, Scheme::fp, false, false},
    {true, false, Scheme::fp, false, true},        {false, false, Scheme::int4_absmax, true, true},
};

std::string name_of(const Form& form) {
  return std::string(quant::row_of(form.scheme).name) + (form.packed ? " packed" : "") +
         (form.transposed ? ", a transposed" : "") + (form.row_scale ? " and scaled" : "") +
         (form.accumulate ? ", added to c" : "");
}

double in_bf16(float x) { return static_cast<double>(quant::widen(quant::to_bf16(x))); }

constexpr float kScale = 0.0371f;

/// Operands of one product, and what it gives in fp64.
class Product {
 public:
  Product(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, const Form& form)
      : rows_(rows),
        inputs_(inputs),
        outputs_(outputs),
        form_(form),
        a(form.transposed ? matrix_of(RowKind::gaussian, inputs, rows)
                          : matrix_of(RowKind::gaussian, rows, inputs)),
        b(matrix_of(RowKind::gaussian, inputs, outputs, 1)),
        codes_(inputs, outputs),
        packed_(inputs, quant::packed4_bytes(outputs)),
        before_(matrix_of(RowKind::gaussian, rows, outputs, 2)) {
    const quant::SchemeRow& scheme = quant::row_of(form.scheme);
    for (std::int64_t k = 0; k < inputs; ++k) {
      row_scale.push_back(0.01f + 0.003f * static_cast<float>(k % 7));
      std::fill_n(packed_.row(k), packed_.view().cols, std::uint8_t{0});
      for (std::int64_t n = 0; n < outputs; ++n) {
        const std::uint64_t bits =
            random_bits(seed() + static_cast<std::uint64_t>(k), 3, static_cast<std::uint64_t>(n));
        if (form.packed) {
          const auto nibble = static_cast<std::uint8_t>(bits % 16);
          packed_.row(k)[n / 2] = static_cast<std::uint8_t>(packed_.row(k)[n / 2] | nibble << (n % 2 * 4));
          codes_.row(k)[n] = static_cast<std::int8_t>(quant::code_of_nibble(scheme.kind, nibble));
        } else {
          const int span = scheme.max_code - scheme.min_code + 1;
          codes_.row(k)[n] = static_cast<std::int8_t>(scheme.min_code +
                                                      static_cast<int>(bits % static_cast<unsigned>(span)));
        }
      }
    }
  }

  Matrix<float> run() const {
    Matrix<float> c(rows_, outputs_);
    for (std::int64_t m = 0; m < rows_; ++m) {
      if (form_.accumulate) std::copy_n(before_.row(m), outputs_, c.row(m));
    }
    kernels::GemmBf16 args;
    args.a = a.view();
    args.a_transposed = form_.transposed;
    if (form_.row_scale) args.a_scale = row_scale.data();
    args.scheme = form_.scheme;
    if (form_.scheme == Scheme::fp) {
      args.b = b.view();
    } else if (form_.packed) {
      args.b_packed = packed_.view();
    } else {
      args.b_codes = codes_.view();
    }
    args.scale = kScale;
    args.accumulate = form_.accumulate;
    args.c = c.view();
    kernels::gemm_bf16(args);
    return c;
  }

  /// "" when `c` is the product within the tolerance of its sums.
  std::string error_of(const Matrix<float>& c) const {
    for (std::int64_t m = 0; m < rows_; ++m) {
      for (std::int64_t n = 0; n < outputs_; ++n) {
        double sum = 0.0, magnitude = 0.0;
        for (std::int64_t k = 0; k < inputs_; ++k) {
          const double product = left(m, k) * right(k, n);
          sum += product;
          magnitude += std::abs(product);
        }
        const double scale = static_cast<double>(kScale);
        const double before = form_.accumulate ? static_cast<double>(before_.row(m)[n]) : 0.0;
        const double found = static_cast<double>(c.row(m)[n]), wanted = before + scale * sum;
        const double allowed =
            bf16_product_tolerance(inputs_, kernels::kBf16Inputs, scale * magnitude + std::abs(before));
        if (!(std::abs(found - wanted) <= allowed)) {
          return "row " + std::to_string(m) + ", output " + std::to_string(n) + ": " + std::to_string(found) +
                 ", expected " + std::to_string(wanted);
        }
      }
    }
    return "";
  }

 private:
  double left(std::int64_t m, std::int64_t k) const {
    if (!form_.transposed) return in_bf16(a.row(m)[k]);
    const float value = a.row(k)[m];
    return in_bf16(form_.row_scale ? value * row_scale[static_cast<std::size_t>(k)] : value);
  }
  double right(std::int64_t k, std::int64_t n) const {
    return form_.scheme == Scheme::fp ? in_bf16(b.row(k)[n]) : static_cast<double>(codes_.row(k)[n]);
  }

  std::int64_t rows_, inputs_, outputs_;
  Form form_;

 public:
  Matrix<float> a, b;
  std::vector<float> row_scale;

 private:
  Matrix<std::int8_t> codes_;
  Matrix<std::uint8_t> packed_;
  Matrix<float> before_;
};

/// The first result is compared with fp64, if asked for, and all others with the first.
void check_on_every_level(const Product& product, int most_threads, bool against_fp64 = true) {
  std::optional<Matrix<float>> first;
  on_every_level(
      [&] {
        const Matrix<float> c = product.run();
        CHECK(c.padding_untouched());
        if (!first) {
          first = c;
          if (against_fp64) CHECK(product.error_of(c) == "");
        }
        CHECK(first_difference(c, *first) == "");
      },
      most_threads);
}

}  // namespace

TEST_CASE("check 14: a bf16 product is the fp64 product of its rounded operands, up to its fp32 sums") {
  constexpr std::int64_t kRows[] = {1, 2, 7, 8, 9, 16, 17, 33};
  constexpr std::int64_t kInputs[] = {1, 2, 3, 15, 16, 17, 31, 33, 64, 101};
  constexpr std::int64_t kOutputs[] = {1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 97};
  std::size_t next = 0;
  for (const Form& form : kForms) {
    for (const std::int64_t rows : kRows) {
      for (const std::int64_t inputs : kInputs) {
        const std::int64_t outputs = kOutputs[next++ % std::size(kOutputs)];
        INFO(name_of(form) << ": " << rows << " x " << inputs << " x " << outputs);
        check_on_every_level(Product(rows, inputs, outputs, form), 1);
      }
    }
  }
}

TEST_CASE("X3: threads do not change a bf16 product of several tiles, panels and blocks of inputs") {
  for (const Form& form : kForms) {
    INFO(name_of(form));
    check_on_every_level(Product(301, kernels::kBf16Inputs + 77, 130, form), 4);
  }
}

TEST_CASE("rows of a bf16 product that are not packed at once") {
  const std::int64_t inputs = 4 * kernels::kBf16Inputs;  // 768 rows at a time
  check_on_every_level(Product(800, inputs, 5, kForms[2]), 1);
  check_on_every_level(Product(800, inputs, 5, kForms[1]), 1);
}

TEST_CASE("numbers that bf16 or fp32 cannot hold stay in their row of a bf16 product, at every level") {
  for (const Form& form : {kForms[0], kForms[3], kForms[5]}) {
    INFO(name_of(form));
    const Product plain(11, 37, 50, form);
    Product product = plain;
    const auto set = [&](std::int64_t m, std::int64_t k, float value) {
      (form.transposed ? product.a.row(k)[m] : product.a.row(m)[k]) = value;
    };
    set(2, 5, std::numeric_limits<float>::quiet_NaN());
    set(4, 36, std::numeric_limits<float>::infinity());
    set(9, 0, -std::numeric_limits<float>::max());  // rounds to -infinity
    const auto is_finite = [](const Matrix<float>& c, std::int64_t m) {
      return std::all_of(c.row(m), c.row(m) + c.view().cols, [](float x) { return std::isfinite(x); });
    };
    const Matrix<float> usual = plain.run(), c = product.run();
    for (std::int64_t m = 0; m < 11; ++m) {
      INFO("row " << m);
      if (m == 2 || m == 4 || (m == 9 && !form.row_scale)) {
        CHECK(!is_finite(c, m));
      } else if (m != 9) {
        CHECK(first_difference(c.row(m), usual.row(m), 50) == "");
      }
    }
    check_on_every_level(product, 2, false);
  }
}

TEST_CASE("a bf16 product of tiny numbers is off by no more than what it may take for 0") {
  Product product(9, 40, 50, kForms[0]);
  for (std::int64_t m = 0; m < 9; ++m) {
    for (std::int64_t k = 0; k < 40; ++k)
      product.a.row(m)[k] *= 0x1p-126f * std::exp2(static_cast<float>(3 * m - 12));
  }
  // Against the same product 2^64 times larger, where nothing is small: an operand and two sums a pair.
  Product large = product;
  for (std::int64_t m = 0; m < 9; ++m)
    for (std::int64_t k = 0; k < 40; ++k) large.a.row(m)[k] *= 0x1p64f;
  const Matrix<float> expected = large.run();
  on_every_level(
      [&] {
        const Matrix<float> c = product.run();
        for (std::int64_t m = 0; m < 9; ++m) {
          for (std::int64_t n = 0; n < 50; ++n) {
            const double wanted = static_cast<double>(expected.row(m)[n]) * 0x1p-64;
            const double found = static_cast<double>(c.row(m)[n]);
            CHECK(std::abs(found - wanted) <= flushed_tolerance(40));
          }
        }
      },
      1);
}

TEST_CASE("a bf16 product without inputs is 0, or leaves c as it was") {
  for (const bool accumulate : {false, true}) {
    on_every_level(
        [&] {
          Matrix<float> c(3, 50);
          for (std::int64_t m = 0; m < 3; ++m) std::fill_n(c.row(m), 50, 2.0f);
          kernels::GemmBf16 args;
          args.a = {nullptr, 3, 0};
          args.b = {nullptr, 0, 50};
          args.accumulate = accumulate;
          args.c = c.view();
          kernels::gemm_bf16(args);
          CHECK(
              std::all_of(c.row(1), c.row(1) + 50, [&](float x) { return x == (accumulate ? 2.0f : 0.0f); }));
        },
        1);
  }
}

}  // namespace a48::test
