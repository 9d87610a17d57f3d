// store_cache_rows and attention_cache_rows on every level: bytes and bits of the reference for odd head
// sizes, grouped heads, lengths around registers and chunks. The whole cache: tests/core/runtime.
#include <algorithm>

#include "core/base/buffer.h"
#include "core/kernels/api.h"
#include "tests/support/kernel_test.h"

namespace a48::test {
namespace {

using kernels::CacheLayout;
using kernels::CacheView;

constexpr std::int64_t kPositions = 520;

/// The storage of one sequence in one layer, with bytes of another layer before it.
struct Sequence {
  static constexpr std::int64_t kOffset = 128;
  CacheLayout layout;
  std::vector<Buffer<std::uint8_t>> chunks;
  std::vector<std::uint8_t*> chunk;
  Buffer<std::uint8_t> first;

  explicit Sequence(const CacheLayout& layout_) : layout(layout_) {
    const std::int64_t bytes = kOffset + 2 * layout.kv_heads * kernels::stream_bytes(layout);
    for (std::int64_t t = 0; t < kPositions; t += quant::kCacheChunk) {
      chunks.emplace_back(bytes + kernels::kCacheSlack);
      chunk.push_back(chunks.back().data());
    }
    if (layout.first_bits > 0)
      first = Buffer<std::uint8_t>(2 * layout.kv_heads * kernels::first_stream_bytes(layout) +
                                   kernels::kCacheSlack);
  }
  CacheView view(std::int64_t length) const {
    return {chunk.data(), kOffset, const_cast<std::uint8_t*>(first.data()), length};
  }
  std::string difference(const Sequence& other) const {
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      const std::string d = first_difference(chunks[c].data(), other.chunks[c].data(), chunks[c].size());
      if (!d.empty()) return "chunk " + std::to_string(c) + ", " + d;
    }
    return first.size() == 0 ? "" : first_difference(first.data(), other.first.data(), first.size());
  }
};

std::vector<std::uint8_t> store(const Sequence& sequence, int q_bits, const Matrix<float>& q,
                                const Matrix<float>& k, const Matrix<float>& v) {
  std::vector<CacheView> views;
  for (std::int64_t r = 0; r < k.view().rows; ++r) views.push_back(sequence.view(r + 1));
  std::vector<std::uint8_t> status(views.size(), 99);
  kernels::store_cache_rows(
      {sequence.layout, q_bits, q.view(), k.view(), v.view(), views.data(), status.data()});
  return status;
}

std::vector<CacheLayout> layouts(std::int64_t kv_heads, std::int64_t head_dim) {
  return {{32, 0, kv_heads, head_dim},
          {16, 0, kv_heads, head_dim},
          {4, 0, kv_heads, head_dim},
          {3, 4, kv_heads, head_dim},
          {3, 0, kv_heads, head_dim}};
}

}  // namespace

TEST_CASE(
    "X1, X3: stored keys and values are the reference's bytes for rows of every kind and odd head sizes, on "
    "every level") {
  for (const std::int64_t hd : {1, 7, 8, 33, 64, 100, 128, 136, 200}) {
    const std::int64_t heads = 2;
    const Matrix<float> k = matrix_of_all_kinds(heads * hd, 1), kinds = matrix_of_all_kinds(heads * hd, 2);
    const std::int64_t rows = k.view().rows;
    Matrix<float> v(rows, heads * hd);  // another kind than the key beside it
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(kinds.row((r + 5) % rows), heads * hd, v.row(r));
    for (const CacheLayout& layout : layouts(heads, hd)) {
      for (const int q_bits : {16, 8, 4}) {
        if (q_bits < 16 && layout.bits > 4) continue;
        INFO("hd " << hd << ", bits " << layout.bits << ", first " << layout.first_bits << ", q " << q_bits);
        const Sequence expected(layout);
        std::vector<std::uint8_t> expected_status;
        {
          const kernels::ScopedLevel reference(IsaLevel::reference);
          expected_status = store(expected, q_bits, v, k, v);
        }
        CHECK(expected_status[static_cast<std::size_t>(rows - 1)] == kernels::kKeyNonFinite);
        on_every_level(
            [&] {
              const Sequence found(layout);
              CHECK(store(found, q_bits, v, k, v) == expected_status);
              CHECK(found.difference(expected) == "");
            },
            hd == 64 ? 4 : 1);
      }
    }
  }
}

TEST_CASE(
    "X1, X3: attention over the cache equals the reference on every level: lengths around 256 and 512, "
    "grouped "
    "heads, odd head sizes, few rows at a time") {
  constexpr std::int64_t kLengths[] = {1, 2, 3, 15, 16, 17, 33, 255, 256, 257, 258, 259, 520, 512, 5, 5};
  struct Shape {
    std::int64_t heads, kv_heads, head_dim;
  };
  for (const Shape shape : {Shape{2, 2, 64}, Shape{7, 1, 64}, Shape{4, 2, 100}, Shape{3, 1, 136},
                            Shape{4, 1, 128}, Shape{2, 1, 2}, Shape{1, 1, 33}}) {
    const std::int64_t rows = std::size(kLengths), width = shape.heads * shape.head_dim;
    const Matrix<float> q = matrix_of(RowKind::gaussian, rows, width, 1),
                        k = matrix_of(RowKind::gaussian, kPositions, shape.kv_heads * shape.head_dim, 2),
                        v = matrix_of(RowKind::gaussian, kPositions, shape.kv_heads * shape.head_dim, 3);
    for (const CacheLayout& layout : layouts(shape.kv_heads, shape.head_dim)) {
      const Sequence sequence(layout);
      store(sequence, 16, q, k, v);
      std::vector<CacheView> views;
      for (const std::int64_t length : kLengths) views.push_back(sequence.view(length));
      const std::int64_t one_row = kernels::attention_cache_scratch(layout, shape.heads, kPositions);
      for (const int q_bits : {16, 8, 4}) {
        if (q_bits < 16 && layout.bits > 4) continue;
        INFO("heads " << shape.heads << ", kv_heads " << shape.kv_heads << ", hd " << shape.head_dim
                      << ", bits " << layout.bits << ", first " << layout.first_bits << ", q " << q_bits);
        const auto attend = [&](std::int64_t rows_at_once) {
          Matrix<float> y(rows, width);
          Buffer<float> scratch(rows_at_once * one_row);
          kernels::attention_cache_rows({layout, q_bits, shape.heads, q.view(), views.data(), y.view(),
                                         scratch.data(), scratch.size()});
          return y;
        };
        Matrix<float> expected(0, 0);
        {
          const kernels::ScopedLevel reference(IsaLevel::reference);
          expected = attend(rows);
        }
        on_every_level([&] { CHECK(first_difference(attend(4), expected) == ""); },
                       shape.head_dim == 64 ? 4 : 1);
      }
    }
  }
}

}  // namespace a48::test
