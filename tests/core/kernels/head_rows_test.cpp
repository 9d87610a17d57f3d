// head_rows on every level: bits of the reference, a double sum within the bound of a dot product,
// independence of the batch.
#include "core/kernels/cpu/entries.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

Matrix<float> reference(const Matrix<float>& x, const Matrix<float>& weight) {
  Matrix<float> logits(x.view().rows, weight.view().rows);
  kernels::cpu::head_rows_reference({x.view(), weight.view(), logits.view()}, 0, weight.view().rows);
  return logits;
}

}  // namespace

TEST_CASE(
    "X1, X3: head logits equal the reference on every level, odd tokens, widths and vocabularies included") {
  constexpr std::int64_t kTokens[] = {1, 2, 3, 4, 5, 9};
  constexpr std::int64_t kVocabulary[] = {1, 3, 4, 5, 17, 64, 131};
  std::size_t next = 0;
  for (const std::int64_t width : kRowWidths) {
    for (const std::int64_t tokens : kTokens) {
      const std::int64_t vocabulary = kVocabulary[next++ % std::size(kVocabulary)];
      const Matrix<float> x = matrix_of(RowKind::gaussian, tokens, width, 1);
      const Matrix<float> weight = matrix_of(RowKind::gaussian, vocabulary, width, 2);
      const Matrix<float> expected = reference(x, weight);
      INFO("tokens " << tokens << ", width " << width << ", vocabulary " << vocabulary);
      on_every_level(
          [&] {
            Matrix<float> logits(tokens, vocabulary);
            kernels::head_rows({x.view(), weight.view(), logits.view()});
            CHECK(first_difference(logits, expected) == "");
          },
          tokens == 9 ? 4 : 1);
    }
  }
}

TEST_CASE("head logits of rows of every kind equal the reference, not finite ones included") {
  const Matrix<float> x = matrix_of_all_kinds(100), weight = matrix_of(RowKind::gaussian, 21, 100);
  const Matrix<float> expected = reference(x, weight);
  on_every_level(
      [&] {
        Matrix<float> logits(x.view().rows, 21);
        kernels::head_rows({x.view(), weight.view(), logits.view()});
        CHECK(first_difference(logits, expected) == "");
      },
      1);
}

TEST_CASE("E5: a token's logits do not depend on its batch, nor on which vocabulary rows are asked for") {
  const Matrix<float> x = matrix_of(RowKind::gaussian, 7, 136, 1),
                      weight = matrix_of(RowKind::gaussian, 37, 136, 2);
  const Matrix<float> expected = reference(x, weight);
  on_every_level(
      [&] {
        Matrix<float> one(7, 37);
        const Rows<float> out = one.view();
        const Rows<const float> in = x.view(), rows = weight.view();
        for (std::int64_t r = 0; r < 7; ++r)
          kernels::head_rows({{in.row(r), 1, 136, in.stride}, rows, {out.row(r), 1, 37, out.stride}});
        CHECK(first_difference(one, expected) == "");
        Matrix<float> parts(7, 37);
        const Rows<float> part = parts.view();
        for (std::int64_t v = 0; v < 37; v += 5) {
          const std::int64_t count = std::min<std::int64_t>(5, 37 - v);
          kernels::head_rows(
              {in, {rows.row(v), count, 136, rows.stride}, {part.data + v, 7, count, part.stride}});
        }
        CHECK(first_difference(parts, expected) == "");
      },
      2);
}

TEST_CASE("head logits equal a double sum within the bound of an fp32 dot product") {
  const std::int64_t width = 384;
  const Matrix<float> x = matrix_of(RowKind::gaussian, 5, width, 1),
                      weight = matrix_of(RowKind::gaussian, 50, width, 2);
  Matrix<float> logits(5, 50);
  kernels::head_rows({x.view(), weight.view(), logits.view()});
  for (std::int64_t r = 0; r < 5; ++r) {
    for (std::int64_t v = 0; v < 50; ++v) {
      double sum = 0.0, magnitude = 0.0;
      for (std::int64_t k = 0; k < width; ++k) {
        const double product = static_cast<double>(x.row(r)[k]) * static_cast<double>(weight.row(v)[k]);
        sum += product;
        magnitude += std::abs(product);
      }
      CHECK(std::abs(static_cast<double>(logits.row(r)[v]) - sum) <= dot_tolerance(width, magnitude));
    }
  }
}

}  // namespace a48::test
