// KvCache: what it keeps is what numerics.md 5.2 says, at the size it says; attention over it does not depend
// on how the rows arrived, on the level or on the threads.
#include "core/runtime/kv_cache.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "core/config/presets.h"
#include "core/config/types.h"
#include "core/quant/reference.h"
#include "tests/support/errors.h"
#include "tests/support/kernel_test.h"
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
  const CacheShape shape{2, 2, 1, 20};
  const std::int64_t rows = 270;
  const std::vector<Rows3> layers{Rows3(shape, rows, 1), Rows3(shape, rows, 5)};
  on_every_level([&] {
    const auto found = attend_in_pieces(shape, {}, layers, {rows});
    for (std::size_t l = 0; l < layers.size(); ++l) {
      std::vector<kernels::KeyValueView> kv;
      for (std::int64_t r = 0; r < rows; ++r)
        kv.push_back({layers[l].k.row(0), layers[l].v.row(0), layers[l].k.view().stride, r + 1});
      Matrix<float> expected(rows, shape.heads * shape.head_dim);
      kernels::attention_rows(
          {layers[l].q.view(), kv.data(), shape.heads, shape.kv_heads, shape.head_dim, expected.view()});
      CHECK(first_difference(found[l], expected) == "");
    }
  });
}

TEST_CASE(
    "check 23, cache: rows appended at once equal one at a time and in pieces, bit for bit, for every kv and "
    "q "
    "setting, across the border of 256 positions, on every level") {
  const std::int64_t rows = 270;
  const std::vector<std::int64_t> one_by_one(static_cast<std::size_t>(rows), 1);
  const auto check = [&](const CacheShape& shape, const CacheFormat& format) {
    const std::vector<Rows3> layers{Rows3(shape, rows, 1)};
    const Matrix<float> expected = attend_in_pieces(shape, format, layers, one_by_one)[0];
    CHECK(first_difference(attend_in_pieces(shape, format, layers, {rows})[0], expected) == "");
    CHECK(first_difference(attend_in_pieces(shape, format, layers, {1, 254, 3, 12})[0], expected) == "");
    return expected;
  };
  for (const CacheFormat& format : all_formats()) {
    INFO(name_of(format));
    check({1, 3, 1, 68}, format);
    std::vector<Matrix<float>> of_levels;
    on_every_level([&] { of_levels.push_back(check({1, 2, 1, 12}, format)); }, 2);
    for (const Matrix<float>& y : of_levels) CHECK(first_difference(y, of_levels[0]) == "");
  }
}

namespace {

/// Rows of values that a cache of this format gives back: what numerics.md 5.2 makes of them.
Matrix<float> decoded(const CacheFormat& format, const CacheShape& shape, const Matrix<float>& x) {
  Matrix<float> y(x.view().rows, x.view().cols);
  std::vector<std::uint8_t> stored(static_cast<std::size_t>(quant::cache_row_bytes(32, shape.head_dim)));
  for (std::int64_t t = 0; t < x.view().rows; ++t) {
    const int bits = format.kv_bits == 3 && t == 0 ? format.bos_bits : format.kv_bits;
    for (std::int64_t at = 0; at < x.view().cols; at += shape.head_dim) {
      quant::F16 gamma{};
      quant::reference_encode_cache_row(bits, x.row(t) + at, shape.head_dim, stored.data(), &gamma);
      const float step =
          quant::reference_levels_of_cache_row(bits, stored.data(), gamma, shape.head_dim, y.row(t) + at);
      for (std::int64_t i = 0; i < shape.head_dim; ++i) y.row(t)[at + i] *= step;
    }
  }
  return y;
}

Matrix<float> decoded_queries(const CacheFormat& format, const CacheShape& shape, const Matrix<float>& q) {
  if (format.q_bits == 16) return q;
  Matrix<float> y(q.view().rows, q.view().cols);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.head_dim));
  for (std::int64_t r = 0; r < q.view().rows; ++r) {
    for (std::int64_t at = 0; at < q.view().cols; at += shape.head_dim) {
      const float step =
          quant::reference_quantize_query(format.q_bits, q.row(r) + at, shape.head_dim, codes.data());
      for (std::int64_t i = 0; i < shape.head_dim; ++i)
        y.row(r)[at + i] = static_cast<float>(codes[static_cast<std::size_t>(i)]) * step;
    }
  }
  return y;
}

/// Softmax attention in double; query row r sees positions 0 … r.
std::vector<double> double_attention(const CacheShape& shape, const Matrix<float>& q, const Matrix<float>& k,
                                     const Matrix<float>& v, std::int64_t row) {
  const std::int64_t hd = shape.head_dim;
  std::vector<double> y;
  for (std::int64_t head = 0; head < shape.heads; ++head) {
    const std::int64_t kv_at = head / (shape.heads / shape.kv_heads) * hd;
    std::vector<double> weight, sum(static_cast<std::size_t>(hd), 0.0);
    double largest = -INFINITY, total = 0.0;
    for (std::int64_t t = 0; t <= row; ++t) {
      double dot = 0.0;
      for (std::int64_t i = 0; i < hd; ++i)
        dot += static_cast<double>(q.row(row)[head * hd + i]) * static_cast<double>(k.row(t)[kv_at + i]);
      weight.push_back(dot / std::sqrt(static_cast<double>(hd)));
      largest = std::max(largest, weight.back());
    }
    for (std::int64_t t = 0; t <= row; ++t) {
      const double e = std::exp(weight[static_cast<std::size_t>(t)] - largest);
      total += e;
      for (std::int64_t i = 0; i < hd; ++i)
        sum[static_cast<std::size_t>(i)] += e * static_cast<double>(v.row(t)[kv_at + i]);
    }
    for (const double s : sum) y.push_back(s / total);
  }
  return y;
}

}  // namespace

TEST_CASE(
    "check 29: attention of every setting equals decode-then-dot in double within 1e-5 relative, on every "
    "level") {
  for (const CacheShape shape :
       {CacheShape{1, 4, 2, 64}, CacheShape{1, 3, 1, 100}, CacheShape{1, 2, 2, 136}}) {
    const std::int64_t rows = 259;
    const std::vector<Rows3> layers{Rows3(shape, rows, 1)};
    for (const CacheFormat& format : all_formats()) {
      INFO(name_of(format) << ", hd " << shape.head_dim);
      const Matrix<float> q = decoded_queries(format, shape, layers[0].q);
      const Matrix<float> k = decoded(format, shape, layers[0].k), v = decoded(format, shape, layers[0].v);
      const auto check = [&] {
        const Matrix<float> y = attend_in_pieces(shape, format, layers, {rows})[0];
        for (const std::int64_t row : {std::int64_t{0}, std::int64_t{1}, std::int64_t{31}, rows - 1}) {
          const std::vector<double> expected = double_attention(shape, q, k, v, row);
          double error = 0.0, size = 0.0;
          for (std::size_t i = 0; i < expected.size(); ++i) {
            const double off = static_cast<double>(y.row(row)[i]) - expected[i];
            error += off * off;
            size += expected[i] * expected[i];
          }
          CHECK(std::sqrt(error) <= kIntegerAttention * std::sqrt(size));
        }
      };
      // The levels agree on the other sizes too: tests/core/kernels/attention_cache_rows_test.cpp.
      if (shape.head_dim == 20) {
        on_every_level(check, 1);
      } else {
        check();
      }
    }
  }
}

TEST_CASE("check 28: bytes per token follow the formula for every preset, and so does the storage held") {
  for (const std::string& preset : config::preset_names()) {
    const config::Model model = config::model_preset(preset);
    const CacheShape shape{model.num_hidden_layers, model.num_attention_heads, model.kv_heads(),
                           model.head_dim()};
    for (const CacheFormat& format : all_formats()) {
      INFO(preset << ", " << name_of(format));
      KvCache cache(shape, format);
      const std::int64_t b = format.kv_bits, hd = shape.head_dim;
      const std::int64_t of_row = b >= 16 ? hd * b / 8 : b * ((hd + 7) / 8) + 2;
      CHECK(cache.bytes_per_token() == shape.layers * 2 * shape.kv_heads * of_row);
      cache.start(1);
      CHECK(cache.bytes() <= 2 * shape.layers * shape.kv_heads * (hd + 2) + kernels::kCacheSlack);
      cache.reserve(512);
      const std::int64_t first =
          b == 3 && format.bos_bits == 4 ? shape.layers * 2 * shape.kv_heads * (4 * ((hd + 7) / 8) + 2) : 0;
      const std::int64_t slack = 2 * kernels::kCacheSlack + (first > 0 ? kernels::kCacheSlack : 0);
      CHECK(cache.bytes() == 512 * cache.bytes_per_token() + first + slack);
    }
  }
}

TEST_CASE(
    "check 28: with kv_bits 3 the first position of each sequence, whenever it starts, is kept at 4 bits, "
    "later ones at 3") {
  const CacheShape shape{2, 1, 1, 100};
  const Rows3 rows(shape, 4, 7);
  // One visible position gives its value back: softmax of one score is 1.
  const auto first_of = [&](int bits, std::int64_t r) {
    Matrix<float> one(1, shape.head_dim);
    std::copy_n(rows.v.row(r), shape.head_dim, one.row(0));
    return decoded({bits, bits, 16}, shape, one);
  };
  on_every_level(
      [&] {
        for (const int bos_bits : {4, 3}) {
          KvCache cache(shape, {3, bos_bits, 8});
          cache.start(2);
          std::int32_t position[2];
          Matrix<float> y(2, shape.head_dim);
          const auto feed = [&](const std::vector<std::int32_t>& sequences, std::int64_t first) {
            const std::int64_t count = static_cast<std::int64_t>(sequences.size());
            cache.append(sequences, position);
            for (const std::int64_t layer : {0, 1})
              cache.attend(layer, part(rows.q, first, count), part(rows.k, first, count),
                           part(rows.v, first, count), {y.row(0), count, y.view().cols, y.view().stride});
          };
          feed({0}, 0);
          CHECK(first_difference(y.row(0), first_of(bos_bits, 0).row(0), shape.head_dim) == "");
          feed({0, 1}, 1);  // sequence 1 begins beside the second position of sequence 0
          CHECK(position[0] == 1);
          CHECK(position[1] == 0);
          CHECK(first_difference(y.row(1), first_of(bos_bits, 2).row(0), shape.head_dim) == "");
          cache.start(1);  // what earlier sequences left behind is not seen
          feed({0}, 3);
          CHECK(first_difference(y.row(0), first_of(bos_bits, 3).row(0), shape.head_dim) == "");
        }
      },
      1);
}

TEST_CASE("sequences of a batch do not see each other, and chunks of ended ones are used again") {
  const CacheShape shape{1, 2, 1, 64};
  const Rows3 rows(shape, 600, 3);
  for (const CacheFormat& format : {CacheFormat{32, 4, 16}, CacheFormat{3, 4, 8}}) {
    INFO(name_of(format));
    const Matrix<float> alone = attend_in_pieces(shape, format, {rows}, {600})[0];
    KvCache cache(shape, format);
    cache.start(3);
    cache.reserve(600);
    const std::int64_t held = cache.bytes();
    for (int round = 0; round < 2; ++round) {
      cache.start(3);
      Matrix<float> y(600, shape.heads * shape.head_dim), other = y;
      for (std::int64_t t = 0; t < 600; ++t) {
        // Sequence 1 sees the rows in order; its neighbours see others.
        std::int32_t position[3];
        Matrix<float> q(3, rows.q.view().cols), k(3, rows.k.view().cols), v(3, rows.v.view().cols),
            out(3, y.view().cols);
        for (std::int64_t s = 0; s < 3; ++s) {
          const std::int64_t from = s == 1 ? t : (t * 7 + s + round) % 600;
          std::copy_n(rows.q.row(from), q.view().cols, q.row(s));
          std::copy_n(rows.k.row(from), k.view().cols, k.row(s));
          std::copy_n(rows.v.row(from), v.view().cols, v.row(s));
        }
        cache.append(std::vector<std::int32_t>{0, 1, 2}, position);
        cache.attend(0, q.view(), k.view(), v.view(), out.view());
        std::copy_n(out.row(1), y.view().cols, y.row(t));
      }
      CHECK(first_difference(y, alone) == "");
    }
    CHECK(cache.bytes() == held);
  }
}

TEST_CASE(
    "check 29, check 7: a key, value or query that is not finite or overflows fp16 is an error by name") {
  const CacheShape shape{3, 2, 2, 72};
  struct Case {
    const char* what;
    float bad;
    CacheFormat format;
  };
  for (const Case& c : {Case{"key", 65520.0f, {3, 4, 8}}, Case{"key", NAN, {32, 4, 16}},
                        Case{"key", INFINITY, {16, 4, 16}}, Case{"value", -7e4f, {4, 4, 16}},
                        Case{"value", 65520.0f, {16, 4, 16}}, Case{"value", -INFINITY, {32, 4, 16}},
                        Case{"query", NAN, {3, 4, 8}}, Case{"query", 65520.0f, {4, 4, 4}}}) {
    INFO(c.what << " " << c.bad << ", " << name_of(c.format));
    on_every_level(
        [&] {
          Rows3 rows(shape, 4, 9);
          KvCache cache(shape, c.format);
          cache.start(2);
          const std::vector<std::int32_t> sequences{0, 1, 1, 0};
          std::int32_t position[4];
          cache.append(sequences, position);
          Matrix<float> y(4, shape.heads * shape.head_dim);
          cache.attend(1, rows.q.view(), rows.k.view(), rows.v.view(), y.view());
          (c.what[0] == 'k' ? rows.k : (c.what[0] == 'v' ? rows.v : rows.q)).row(2)[100] = c.bad;
          CHECK_ERROR(cache.attend(2, rows.q.view(), rows.k.view(), rows.v.view(), y.view()),
                      ErrorKind::not_finite, "layer 2", "sequence 1", "position 1", c.what);
        },
        1);
  }
  // What fits is no error: 65519.99 rounds to the largest fp16; fp32 keeps more.
  Rows3 rows(shape, 1, 9);
  rows.k.row(0)[3] = 65519.996f;
  rows.v.row(0)[3] = -65519.996f;
  Matrix<float> y(1, shape.heads * shape.head_dim);
  for (const CacheFormat& format : all_formats()) {
    KvCache cache(shape, format);
    cache.start(1);
    std::int32_t position;
    cache.append(std::vector<std::int32_t>{0}, &position);
    cache.attend(0, rows.q.view(), rows.k.view(), rows.v.view(), y.view());
    CHECK(std::isfinite(y.row(0)[3]));
  }
}

TEST_CASE("reserved memory becomes resident with use, and nothing more is taken until it is full") {
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    std::int64_t all = 0, pages = 0;
    statm >> all >> pages;
    return pages * sysconf(_SC_PAGESIZE);
  };
  const CacheShape shape{8, 8, 8, 64};
  const Rows3 rows(shape, 1, 9);
  Matrix<float> y(1, shape.heads * shape.head_dim);
  KvCache cache(shape, {});
  cache.start(1);
  const std::int64_t before = resident();
  cache.reserve(8192);
  const std::int64_t held = cache.bytes();
  CHECK(held >= 8192 * cache.bytes_per_token());
  const std::int64_t few = 300;
  for (std::int64_t t = 0; t < few; ++t) {
    std::int32_t position;
    cache.append(std::vector<std::int32_t>{0}, &position);
    for (std::int64_t layer = 0; layer < shape.layers; ++layer)
      cache.attend(layer, rows.q.view(), rows.k.view(), rows.v.view(), y.view());
  }
  CHECK(cache.bytes() == held);
#if !defined(__SANITIZE_THREAD__)  // whose shadow of what was written is resident too
  // Whole chunks at the most, and as much again for tables and the allocator.
  CHECK(resident() - before <= 2 * 512 * cache.bytes_per_token());
#else
  static_cast<void>(before);
#endif
}

TEST_CASE("cache formats outside the allowed values are refused by name") {
  CHECK_ERROR(runtime::check_cache_format({8, 4, 16}), ErrorKind::config, "kv_bits is 8", "32, 16, 4, 3");
  CHECK_ERROR(runtime::check_cache_format({3, 8, 16}), ErrorKind::config, "bos_bits is 8");
  CHECK_ERROR(runtime::check_cache_format({3, 4, 5}), ErrorKind::config, "q_bits is 5", "16", "8, 4");
  CHECK_ERROR(runtime::check_cache_format({16, 4, 8}), ErrorKind::config, "q_bits is 8", "kv_bits 16");
  for (const CacheFormat& format : all_formats()) CHECK_NOTHROW(runtime::check_cache_format(format));
}

}  // namespace a48::test
