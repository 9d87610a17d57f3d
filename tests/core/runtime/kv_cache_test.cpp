// KvCache: what it keeps is what numerics.md 5.2 says, at the size it says; attention over it does not depend
// on how the rows arrived, on the level or on the threads.
#include "core/runtime/kv_cache.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <string>

#include "core/config/presets.h"
#include "core/config/types.h"
#include "core/quant/reference.h"
#include "tests/core/kernels/kernel_test.h"
#include "tests/support/errors.h"
#include "tests/support/tolerance.h"

namespace a48::test {
namespace {

using runtime::CacheFormat;
using runtime::CacheShape;
using runtime::KvCache;

/// Every setting; the second of kv_bits 3 keeps the first position at 3 bits too.
std::vector<CacheFormat> all_formats() {
  std::vector<CacheFormat> formats{{32, 4, 16}, {16, 4, 16}};
  for (const int q_bits : {16, 8, 4}) {
    formats.push_back({4, 4, q_bits});
    formats.push_back({3, 4, q_bits});
    formats.push_back({3, 3, q_bits});
  }
  return formats;
}
std::string name_of(const CacheFormat& f) {
  return concat("kv_bits ", f.kv_bits, ", bos_bits ", f.bos_bits, ", q_bits ", f.q_bits);
}

/// Queries, keys and values of one layer, a row a position.
struct Rows3 {
  Matrix<float> q, k, v;
  Rows3(const CacheShape& shape, std::int64_t rows, std::uint64_t salt)
      : q(matrix_of(RowKind::gaussian, rows, shape.heads * shape.head_dim, salt)),
        k(matrix_of(RowKind::gaussian, rows, shape.kv_heads * shape.head_dim, salt + 1)),
        v(matrix_of(RowKind::gaussian, rows, shape.kv_heads * shape.head_dim, salt + 2)) {}
};

Rows<const float> part(const Matrix<float>& x, std::int64_t first, std::int64_t count) {
  return {x.row(first), count, x.view().cols, x.view().stride};
}

/// Feeds the rows of one sequence to a cache of as many layers, in pieces of the given sizes.
std::vector<Matrix<float>> attend_in_pieces(const CacheShape& shape, const CacheFormat& format,
                                            const std::vector<Rows3>& layers,
                                            const std::vector<std::int64_t>& pieces) {
  KvCache cache(shape, format);
  cache.start(1);
  std::vector<Matrix<float>> y;
  for (const Rows3& layer : layers) y.emplace_back(layer.q.view().rows, layer.q.view().cols);
  std::int64_t first = 0;
  for (const std::int64_t count : pieces) {
    std::vector<std::int32_t> sequence(static_cast<std::size_t>(count), 0), position(sequence.size());
    cache.append(sequence, position.data());
    for (std::size_t r = 0; r < position.size(); ++r)
      REQUIRE(position[r] == first + static_cast<std::int64_t>(r));
    for (std::size_t l = 0; l < layers.size(); ++l)
      cache.attend(static_cast<std::int64_t>(l), part(layers[l].q, first, count),
                   part(layers[l].k, first, count), part(layers[l].v, first, count),
                   {y[l].row(first), count, y[l].view().cols, y[l].view().stride});
    first += count;
  }
  CHECK(cache.length(0) == first);
  return y;
}

}  // namespace

TEST_CASE("kv_bits 32: the bits of attention_rows over plain rows of keys and values, on every level") {
  const CacheShape shape{2, 6, 3, 36};
  const std::int64_t rows = 300;
  const std::vector<Rows3> layers{Rows3(shape, rows, 1), Rows3(shape, rows, 5)};
  on_every_level([&] {
    const auto found = attend_in_pieces(shape, {}, layers, {rows});
    for (std::size_t l = 0; l < layers.size(); ++l) {
      std::vector<kernels::KeyValueView> kv;
      for (std::int64_t r = 0; r < rows; ++r)
        kv.push_back({layers[l].k.row(0), layers[l].v.row(0), layers[l].k.view().stride, r + 1});
      Matrix<float> expected(rows, shape.heads * shape.head_dim);
      kernels::attention_rows({layers[l].q.view(), kv.data(), shape.heads, shape.kv_heads, shape.head_dim,
                               expected.view()});
      CHECK(first_difference(found[l], expected) == "");
    }
  });
}

TEST_CASE(
    "check 23, cache: rows appended at once equal one at a time and in pieces, bit for bit, for every kv and q "
    "setting, across the border of 256 positions, on every level") {
  const CacheShape shape{1, 3, 1, 68};
  const std::int64_t rows = 270;
  const std::vector<Rows3> layers{Rows3(shape, rows, 1)};
  const std::vector<std::int64_t> one_by_one(static_cast<std::size_t>(rows), 1);
  for (const CacheFormat& format : all_formats()) {
    INFO(name_of(format));
    std::vector<Matrix<float>> expected;
    {
      const kernels::ScopedLevel reference(IsaLevel::reference);
      expected = attend_in_pieces(shape, format, layers, one_by_one);
    }
    on_every_level(
        [&] {
          CHECK(first_difference(attend_in_pieces(shape, format, layers, {rows})[0], expected[0]) == "");
          CHECK(first_difference(attend_in_pieces(shape, format, layers, {1, 254, 3, 12})[0], expected[0]) ==
                "");
        },
        2);
    CHECK(first_difference(attend_in_pieces(shape, format, layers, one_by_one)[0], expected[0]) == "");
  }
}

}  // namespace a48::test
