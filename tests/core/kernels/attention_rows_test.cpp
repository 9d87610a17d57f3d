// attention_rows on every level: bits of the reference for lengths around registers and chunks, a double
// softmax within a derived bound, grouped heads, and independence of batch, padding and threads.
#include <algorithm>

#include "core/kernels/cpu/attention_rows.h"
#include "core/kernels/cpu/entries.h"
#include "tests/support/kernel_test.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

constexpr std::int64_t kLengths[] = {0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 255, 256, 257, 511, 512, 600};
constexpr std::int64_t kPositions = 600;

/// Query rows that see prefixes of one sequence, row i the first lengths[i] positions.
struct Sequence {
  std::int64_t heads, kv_heads, head_dim;
  Matrix<float> q, k, v;
  std::vector<std::int64_t> lengths{std::begin(kLengths), std::end(kLengths)};

  Sequence(std::int64_t heads_, std::int64_t kv_heads_, std::int64_t head_dim_)
      : heads(heads_),
        kv_heads(kv_heads_),
        head_dim(head_dim_),
        q(matrix_of(RowKind::gaussian, std::size(kLengths), heads * head_dim, 1)),
        k(matrix_of(RowKind::gaussian, kPositions, kv_heads * head_dim, 2)),
        v(matrix_of(RowKind::gaussian, kPositions, kv_heads * head_dim, 3)) {}

  std::int64_t rows() const { return static_cast<std::int64_t>(lengths.size()); }
  Matrix<float> output() const { return {rows(), heads * head_dim}; }

  std::vector<kernels::KeyValueView> views() const {
    std::vector<kernels::KeyValueView> result;
    for (const std::int64_t length : lengths) result.push_back({k.row(0), v.row(0), k.view().stride, length});
    return result;
  }
  kernels::AttentionRows args(const kernels::KeyValueView* kv, Rows<float> y) const {
    return {q.view(), kv, heads, kv_heads, head_dim, y};
  }
  Matrix<float> reference() const {
    Matrix<float> y = output();
    const auto kv = views();
    kernels::cpu::attention_rows_reference(args(kv.data(), y.view()), 0, rows() * heads);
    return y;
  }
};

}  // namespace

TEST_CASE(
    "X1, X3: attention equals the reference on every level: lengths around 256 and 512, grouped heads, odd "
    "head sizes") {
  struct Shape {
    std::int64_t heads, kv_heads, head_dim;
  };
  for (const Shape shape : {Shape{2, 2, 64}, Shape{4, 2, 100}, Shape{3, 1, 136}, Shape{2, 1, 2},
                            Shape{1, 1, 130}, Shape{1, 1, 33}}) {
    const Sequence sequence(shape.heads, shape.kv_heads, shape.head_dim);
    const Matrix<float> expected = sequence.reference();
    const auto kv = sequence.views();
    INFO("heads " << shape.heads << ", kv_heads " << shape.kv_heads << ", head_dim " << shape.head_dim);
    on_every_level(
        [&] {
          Matrix<float> y = sequence.output();
          kernels::attention_rows(sequence.args(kv.data(), y.view()));
          CHECK(first_difference(y, expected) == "");
        },
        shape.head_dim == 64 ? 4 : 1);
  }
}

TEST_CASE("attention equals a double softmax within the bound of its operations") {
  const Sequence sequence(4, 2, 100);
  const auto kv = sequence.views();
  Matrix<float> y = sequence.output();
  kernels::attention_rows(sequence.args(kv.data(), y.view()));
  const std::int64_t hd = sequence.head_dim;
  for (std::int64_t r = 0; r < sequence.rows(); ++r) {
    for (std::int64_t head = 0; head < sequence.heads; ++head) {
      const std::int64_t length = sequence.lengths[static_cast<std::size_t>(r)], kv_at = head / 2 * hd;
      const float* q = sequence.q.row(r) + head * hd;
      std::vector<double> score;
      double largest = -INFINITY, score_error = 0.0, spread = 0.0;
      for (std::int64_t t = 0; t < length; ++t) {
        double dot = 0.0, magnitude = 0.0;
        for (std::int64_t i = 0; i < hd; ++i) {
          const double product =
              static_cast<double>(q[i]) * static_cast<double>(sequence.k.row(t)[kv_at + i]);
          dot += product;
          magnitude += std::abs(product);
        }
        const double sigma = 1.0 / std::sqrt(static_cast<double>(hd));
        score.push_back(dot * sigma);
        largest = std::max(largest, score.back());
        // Two more roundings: of sigma, and of the product with it.
        score_error = std::max(score_error, dot_tolerance(hd + 2, magnitude * sigma));
      }
      double sum = 0.0;
      for (double& s : score) {
        spread = std::max(spread, largest - s);
        s = std::exp(s - largest);
        sum += s;
      }
      for (std::int64_t i = 0; i < hd; ++i) {
        double expected = 0.0, magnitude = 0.0;
        for (std::int64_t t = 0; t < length; ++t) {
          const double term =
              score[static_cast<std::size_t>(t)] / sum * static_cast<double>(sequence.v.row(t)[kv_at + i]);
          expected += term;
          magnitude += std::abs(term);
        }
        const double found = static_cast<double>(y.row(r)[head * hd + i]);
        CHECK(std::abs(found - expected) <= attention_tolerance(length, score_error, spread, magnitude));
      }
    }
  }
}

TEST_CASE(
    "E5: a query's result does not depend on its batch, its neighbours, or what stands behind its last "
    "position") {
  const Sequence sequence(4, 2, 64);
  const Matrix<float> expected = sequence.reference();
  on_every_level(
      [&] {
        const std::int64_t width = sequence.heads * sequence.head_dim;
        Matrix<float> one = sequence.output();
        for (std::int64_t r = sequence.rows(); r-- > 0;) {
          const std::int64_t length = sequence.lengths[static_cast<std::size_t>(r)];
          Matrix<float> k = sequence.k, v = sequence.v;
          for (std::int64_t t = length; t < kPositions; ++t) {
            std::fill_n(k.row(t), k.view().cols, NAN);
            std::fill_n(v.row(t), v.view().cols, NAN);
          }
          const kernels::KeyValueView view{k.row(0), v.row(0), k.view().stride, length};
          kernels::attention_rows({{sequence.q.row(r), 1, width},
                                   &view,
                                   sequence.heads,
                                   sequence.kv_heads,
                                   sequence.head_dim,
                                   {one.row(r), 1, width}});
        }
        CHECK(first_difference(one, expected) == "");
      },
      2);
}

TEST_CASE(
    "check 20, kernel part: grouped heads equal separate heads with repeated keys and values, bit for bit") {
  const std::int64_t hd = 64;
  const Sequence grouped(4, 2, hd);
  Sequence expanded(4, 4, hd);
  expanded.q = grouped.q;
  for (std::int64_t t = 0; t < kPositions; ++t) {
    for (std::int64_t head = 0; head < 4; ++head) {
      std::copy_n(grouped.k.row(t) + head / 2 * hd, hd, expanded.k.row(t) + head * hd);
      std::copy_n(grouped.v.row(t) + head / 2 * hd, hd, expanded.v.row(t) + head * hd);
    }
  }
  const auto grouped_kv = grouped.views(), expanded_kv = expanded.views();
  on_every_level(
      [&] {
        Matrix<float> y = grouped.output(), wide = expanded.output();
        kernels::attention_rows(grouped.args(grouped_kv.data(), y.view()));
        kernels::attention_rows(expanded.args(expanded_kv.data(), wide.view()));
        CHECK(first_difference(y, wide) == "");
      },
      1);
}

TEST_CASE(
    "a query that sees nothing gives +0; one that sees one position gives its value; scores may be far "
    "apart") {
  on_every_level(
      [] {
        const std::int64_t hd = 36;
        const Matrix<float> q = matrix_of(RowKind::gaussian, 3, hd, 1),
                            v = matrix_of(RowKind::gaussian, 2, hd, 3);
        Matrix<float> k(2, hd), y(3, hd);
        // The second key outweighs the first by far more than fp32 can hold.
        for (std::int64_t i = 0; i < hd; ++i) {
          k.row(0)[i] = -1e3f * q.row(2)[i];
          k.row(1)[i] = 1e3f * q.row(2)[i];
        }
        const std::int64_t stride = k.view().stride;
        const kernels::KeyValueView kv[] = {
            {nullptr, nullptr, 0, 0}, {k.row(0), v.row(0), stride, 1}, {k.row(0), v.row(0), stride, 2}};
        kernels::attention_rows({q.view(), kv, 1, 1, hd, y.view()});
        const std::vector<float> zeros(static_cast<std::size_t>(hd), 0.0f);
        CHECK(first_difference(y.row(0), zeros.data(), hd) == "");
        CHECK(first_difference(y.row(1), v.row(0), hd) == "");
        CHECK(first_difference(y.row(2), v.row(1), hd) == "");
      },
      1);
}

TEST_CASE(
    "attention with a NaN among the visible keys or values is NaN there on every level, and nowhere else") {
  Sequence sequence(2, 1, 64);
  sequence.k.row(300)[5] = NAN;  // seen by queries of more than 300 positions
  sequence.v.row(20)[7] = NAN;   // one channel of all that see 20
  const Matrix<float> expected = sequence.reference();
  const auto kv = sequence.views();
  on_every_level(
      [&] {
        Matrix<float> y = sequence.output();
        kernels::attention_rows(sequence.args(kv.data(), y.view()));
        CHECK(first_difference(y, expected) == "");
        for (std::int64_t r = 0; r < sequence.rows(); ++r) {
          const std::int64_t length = sequence.lengths[static_cast<std::size_t>(r)];
          CHECK(std::isnan(y.row(r)[7]) == (length > 20));
          CHECK(std::isnan(y.row(r)[8]) == (length > 300));
        }
      },
      1);
}

}  // namespace a48::test
