// packed_head_rows: each class on every level has the bits of its reference, whatever the batch, the threads
// and the bytes of the weights; f32 and bf16 those of head_rows on the widened matrix.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/buffer.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"
#include "tests/support/stored_head.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

using kernels::HeadClass;
using kernels::HeadWeight;

constexpr HeadClass kClasses[] = {HeadClass::f32, HeadClass::bf16, HeadClass::i8, HeadClass::i6,
                                  HeadClass::i4};
const char* name_of(HeadClass kind) {
  constexpr const char* kNames[] = {"f32", "bf16", "i8", "i6", "i4"};
  return kNames[static_cast<int>(kind)];
}

Matrix<float> logits_of(const StoredHead& head, Rows<const float> x) {
  const HeadWeight weight = head.weight();
  Matrix<float> logits(x.rows, weight.rows);
  const std::int64_t padded = up_to(x.cols, kernels::kCodePadding);
  Buffer<std::int8_t> codes(x.rows * padded);
  kernels::packed_head_rows({x, weight, codes.rows(x.rows, padded), logits.view()});
  return logits;
}

Matrix<float> reference(const StoredHead& head, Rows<const float> x) {
  const kernels::ScopedLevel level(IsaLevel::reference);
  return logits_of(head, x);
}

}  // namespace

TEST_CASE(
    "X1, X3: packed head logits equal the reference on every level, for odd tokens, widths, vocabularies") {
  constexpr std::int64_t kWidths[] = {1,   3,   31,  32,  33,  63,  64,  65, 96,
                                      127, 128, 160, 224, 255, 256, 257, 700};
  constexpr std::int64_t kTokens[] = {1, 2, 1, 5, 1, 67};
  constexpr std::int64_t kVocabulary[] = {1, 3, 4, 5, 17, 64, 131};
  std::size_t next = 0;
  for (const HeadClass kind : kClasses) {
    for (const std::int64_t width : kWidths) {
      const std::int64_t tokens = kTokens[next % std::size(kTokens)],
                         vocabulary = kVocabulary[next % std::size(kVocabulary)];
      ++next;
      const Matrix<float> x = matrix_of(RowKind::gaussian, tokens, width, 1);
      const StoredHead head(kind, matrix_of(RowKind::gaussian, vocabulary, width, 2));
      const Matrix<float> expected = reference(head, x.view());
      INFO(name_of(kind) << ", tokens " << tokens << ", width " << width << ", vocabulary " << vocabulary);
      on_every_level([&] { CHECK(first_difference(logits_of(head, x.view()), expected) == ""); },
                     vocabulary == 131 ? 4 : 1);
    }
  }
}

TEST_CASE("f32 and bf16 heads have the bits of head_rows on the widened matrix") {
  for (const HeadClass kind : {HeadClass::f32, HeadClass::bf16}) {
    for (const std::int64_t width : kRowWidths) {
      const Matrix<float> x = matrix_of(RowKind::gaussian, 3, width, 1);
      const StoredHead head(kind, matrix_of(RowKind::gaussian, 37, width, 2));
      Matrix<float> widened(37, width), expected(3, 37);
      for (std::int64_t v = 0; v < 37; ++v) kernels::widen_row(head.weight(), v, widened.row(v));
      kernels::head_rows({x.view(), widened.view(), expected.view()});
      INFO(name_of(kind) << ", width " << width);
      on_every_level([&] { CHECK(first_difference(logits_of(head, x.view()), expected) == ""); }, 2);
    }
  }
}

TEST_CASE(
    "packed head logits of rows of every kind equal the reference; a row that is not finite gives NaN or "
    "infinity") {
  const Matrix<float> x = matrix_of_all_kinds(100);
  for (const HeadClass kind : kClasses) {
    const StoredHead head(kind, matrix_of(RowKind::outlier, 21, 100));
    const Matrix<float> expected = reference(head, x.view());
    INFO(name_of(kind));
    on_every_level([&] { CHECK(first_difference(logits_of(head, x.view()), expected) == ""); }, 1);
    for (std::int64_t r = 0; r < x.view().rows; ++r) {
      if (kAllRows[static_cast<std::size_t>(r)] == RowKind::one_nan)
        CHECK(std::all_of(expected.row(r), expected.row(r) + 21, [](float y) { return !std::isfinite(y); }));
    }
  }
}

TEST_CASE("X2: integer heads stay exact at the largest width with extreme codes") {
  constexpr std::int64_t kWidth = 1 << 17;
  Matrix<float> x(1, kWidth), w(2, kWidth);
  for (std::int64_t k = 0; k < kWidth; ++k) {
    x.row(0)[k] = -1.0f;
    w.row(0)[k] = 1.0f;
    w.row(1)[k] = -1.0f;
  }
  for (const HeadClass kind : {HeadClass::i8, HeadClass::i6, HeadClass::i4}) {
    const StoredHead head(kind, w);
    const Matrix<float> expected = reference(head, x.view());
    INFO(name_of(kind));
    CHECK(expected.row(0)[0] == -expected.row(0)[1]);
    on_every_level([&] { CHECK(first_difference(logits_of(head, x.view()), expected) == ""); }, 1);
  }
}

TEST_CASE(
    "any bytes of weights give the reference's logits: nothing is read out of bounds, nothing is an index") {
  for (const HeadClass kind : {HeadClass::i8, HeadClass::i6, HeadClass::i4}) {
    StoredHead head(kind, matrix_of(RowKind::gaussian, 19, 136));
    for (std::int64_t i = 0; i < head.bytes().size(); ++i)
      head.bytes()[i] = static_cast<std::uint8_t>(random_bits(seed(), 3, static_cast<std::uint64_t>(i)));
    const Matrix<float> x = matrix_of(RowKind::gaussian, 2, 136, 5);
    const Matrix<float> expected = reference(head, x.view());
    INFO(name_of(kind));
    on_every_level([&] { CHECK(first_difference(logits_of(head, x.view()), expected) == ""); }, 1);
  }
}

TEST_CASE("E5: a token's packed logits do not depend on its batch") {
  for (const HeadClass kind : kClasses) {
    const Matrix<float> x = matrix_of(RowKind::gaussian, 7, 136, 1);
    const StoredHead head(kind, matrix_of(RowKind::gaussian, 37, 136, 2));
    const Matrix<float> expected = reference(head, x.view());
    INFO(name_of(kind));
    on_every_level(
        [&] {
          for (std::int64_t r = 0; r < 7; ++r) {
            const Matrix<float> one = logits_of(head, {x.row(r), 1, 136});
            CHECK(first_difference(one.row(0), expected.row(r), 37) == "");
          }
        },
        1);
  }
}

TEST_CASE("tokens that share a pass over the rows have the bits they have alone, for any number of both") {
  constexpr std::int64_t kWidth = 200;  // whole and partial blocks of groups
  for (const HeadClass kind : {HeadClass::i8, HeadClass::i6, HeadClass::i4}) {
    for (std::int64_t tokens = 2; tokens <= 9; ++tokens) {
      const std::int64_t vocabulary = 11 - tokens;
      const Matrix<float> x = matrix_of(RowKind::gaussian, tokens, kWidth, 1);
      const StoredHead head(kind, matrix_of(RowKind::gaussian, vocabulary, kWidth, 2));
      INFO(name_of(kind) << ", tokens " << tokens << ", vocabulary " << vocabulary);
      on_every_level(
          [&] {
            const Matrix<float> together = logits_of(head, x.view());
            for (std::int64_t r = 0; r < tokens; ++r) {
              const Matrix<float> one = logits_of(head, {x.row(r), 1, kWidth});
              CHECK(first_difference(one.row(0), together.row(r), vocabulary) == "");
            }
          },
          1);
    }
  }
}

TEST_CASE("integer heads are near the product of the widened weights: half a step of the INT8 input") {
  constexpr std::int64_t kWidth = 384;
  const Matrix<float> x = matrix_of(RowKind::gaussian, 2, kWidth, 1);
  for (const HeadClass kind : {HeadClass::i8, HeadClass::i6, HeadClass::i4}) {
    const StoredHead head(kind, matrix_of(RowKind::gaussian, 50, kWidth, 2));
    const Matrix<float> logits = logits_of(head, x.view());
    std::vector<float> weight(kWidth);
    for (std::int64_t r = 0; r < 2; ++r) {
      float largest = 0;
      for (std::int64_t k = 0; k < kWidth; ++k) largest = std::max(largest, std::fabs(x.row(r)[k]));
      const double half_step = static_cast<double>(largest) / 127 / 2;
      for (std::int64_t v = 0; v < 50; ++v) {
        kernels::widen_row(head.weight(), v, weight.data());
        double exact = 0, magnitude = 0, product_magnitude = 0;
        for (std::int64_t k = 0; k < kWidth; ++k) {
          const double w = static_cast<double>(weight[static_cast<std::size_t>(k)]),
                       h = static_cast<double>(x.row(r)[k]);
          exact += h * w;
          magnitude += std::fabs(w);
          product_magnitude += (std::fabs(h) + half_step) * std::fabs(w);
        }
        const double bound = half_step * magnitude + dot_tolerance(kWidth, product_magnitude);
        CHECK(std::fabs(static_cast<double>(logits.row(r)[v]) - exact) <= bound);
      }
    }
  }
}

}  // namespace a48::test
