// store_cache_rows and attention_cache_rows of CUDA against the CPU's reference: bytes of the cache, status,
// results, all bits. Rows of two sequences are stored in one call, then some of them attend.
#include <algorithm>

#include "core/base/buffer.h"
#include "core/kernels/api.h"
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {
namespace {

using kernels::CacheLayout;

constexpr std::int64_t kSequences = 2, kOffset = 256;  // bytes of another layer before this one

struct Shape {
  std::int64_t heads, kv_heads, head_dim;
};

/// Rows to store: position r/2 of sequence r%2, of `kind`; and what the CPU makes of them.
struct Stored {
  Shape shape;
  CacheLayout layout;
  int q_bits;
  std::int64_t positions, rows, chunks, chunk_bytes, first_bytes;
  Matrix<float> q, k, v, cos, sin, rotated_q, rotated_k;
  std::vector<std::int32_t> sequence, position;
  std::vector<std::uint8_t> pages, first, status;  // [sequences, chunks, bytes], [sequences, bytes], [rows]
  std::vector<std::vector<std::uint8_t*>> chunk_of;
  std::vector<kernels::CacheView> views;

  Stored(const Shape& s, const CacheLayout& l, int q_bits_, std::int64_t positions_, RowKind kind)
      : shape(s),
        layout(l),
        q_bits(q_bits_),
        positions(positions_),
        rows(kSequences * positions_),
        chunks((positions_ + quant::kCacheChunk - 1) / quant::kCacheChunk),
        chunk_bytes(kOffset + 2 * s.kv_heads * kernels::stream_bytes(l) + kernels::kCacheSlack),
        first_bytes(l.first_bits == 0 ? 0 : 2 * s.kv_heads * kernels::first_stream_bytes(l)),
        q(matrix_of(kind, rows, s.heads * s.head_dim, 1)),
        k(matrix_of(kind, rows, s.kv_heads * s.head_dim, 2)),
        v(matrix_of(kind, rows, s.kv_heads * s.head_dim, 3)),
        cos(matrix_of(RowKind::gaussian, positions_, s.head_dim / 2, 4)),
        sin(matrix_of(RowKind::gaussian, positions_, s.head_dim / 2, 5)),
        rotated_q(rows, s.heads * s.head_dim),
        rotated_k(rows, s.kv_heads * s.head_dim),
        pages(static_cast<std::size_t>(kSequences * chunks * chunk_bytes)),
        first(static_cast<std::size_t>(kSequences * first_bytes + kernels::kCacheSlack)),
        status(static_cast<std::size_t>(rows)) {
    for (std::int64_t r = 0; r < rows; ++r) {
      sequence.push_back(static_cast<std::int32_t>(r % kSequences));
      position.push_back(static_cast<std::int32_t>(r / kSequences));
    }
    for (std::int64_t i = 0; i < kSequences; ++i) {
      chunk_of.emplace_back();
      for (std::int64_t c = 0; c < chunks; ++c)
        chunk_of.back().push_back(pages.data() + (i * chunks + c) * chunk_bytes);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t i = r % kSequences;
      views.push_back({chunk_of[static_cast<std::size_t>(i)].data(), kOffset,
                       first_bytes == 0 ? nullptr : first.data() + i * first_bytes, r / kSequences + 1});
    }
    const kernels::ScopedLevel reference(IsaLevel::reference);
    kernels::rope_rows(
        {q.view(), rotated_q.view(), position.data(), s.heads, s.head_dim, cos.view(), sin.view()});
    kernels::rope_rows(
        {k.view(), rotated_k.view(), position.data(), s.kv_heads, s.head_dim, cos.view(), sin.view()});
    kernels::store_cache_rows(
        {layout, q_bits, rotated_q.view(), rotated_k.view(), v.view(), views.data(), status.data()});
  }

  /// Of the listed rows.
  Matrix<float> attention(const std::vector<std::int64_t>& listed) const {
    const kernels::ScopedLevel reference(IsaLevel::reference);
    const std::int64_t count = std::ssize(listed), width = shape.heads * shape.head_dim;
    Matrix<float> some(count, width), y(count, width);
    std::vector<kernels::CacheView> seen;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t r = listed[static_cast<std::size_t>(i)];
      std::copy_n(rotated_q.row(r), width, some.row(i));
      seen.push_back(views[static_cast<std::size_t>(r)]);
    }
    Buffer<float> scratch(count * kernels::attention_cache_scratch(layout, shape.heads, positions));
    kernels::attention_cache_rows(
        {layout, q_bits, shape.heads, some.view(), seen.data(), y.view(), scratch.data(), scratch.size()});
    return y;
  }
};

/// The same storage on the device, zero at first.
struct DeviceCache {
  const Stored& of;
  DeviceMatrix<std::uint8_t> pages, first;
  DeviceMatrix<std::uint8_t*> table;
  DeviceMatrix<std::int32_t> sequence, position;

  explicit DeviceCache(const Stored& stored)
      : of(stored),
        pages(kSequences * stored.chunks, stored.chunk_bytes, cuda::round_up(stored.chunk_bytes, 256), 0),
        first(1, std::ssize(stored.first), std::ssize(stored.first), 0),
        table(pointers()),
        sequence(device_vector(stored.sequence)),
        position(device_vector(stored.position)) {}

  DeviceMatrix<std::uint8_t*> pointers() {
    std::vector<std::uint8_t*> rows;
    for (std::int64_t c = 0; c < kSequences * of.chunks; ++c) rows.push_back(pages.view().row(c));
    return device_vector(rows);
  }
  cuda::CachePages at(const DeviceMatrix<std::int32_t>& sequences,
                      const DeviceMatrix<std::int32_t>& positions) {
    return {of.layout,
            table.data(),
            of.chunks,
            kOffset,
            of.first_bytes == 0 ? nullptr : first.data(),
            of.first_bytes,
            sequences.view().data,
            positions.view().data};
  }
  std::string difference() const {
    const std::string d = rows_difference<std::uint8_t>(
        pages, Rows<const std::uint8_t>(of.pages.data(), kSequences * of.chunks, of.chunk_bytes));
    if (!d.empty()) return "page " + d;
    return rows_difference<std::uint8_t>(first,
                                         Rows<const std::uint8_t>(of.first.data(), 1, std::ssize(of.first)));
  }
};

std::uint32_t flag_of(std::uint8_t status) { return status == kernels::kRowFinite ? 0u : 1u << status; }

/// Stores all rows, compares the bytes, then the attention of the listed rows.
void check(const Shape& shape, const CacheLayout& layout, int q_bits, std::int64_t positions, RowKind kind,
           const std::vector<std::int64_t>& listed) {
  const Stored expected(shape, layout, q_bits, positions, kind);
  const Matrix<float> attention = expected.attention(listed);
  const std::int64_t width = shape.heads * shape.head_dim, count = std::ssize(listed);
  INFO("heads " << shape.heads << ", kv_heads " << shape.kv_heads << ", hd " << shape.head_dim << ", bits "
                << layout.bits << ", first " << layout.first_bits << ", q " << q_bits);
  on_every_order([&] {
    DeviceCache cache(expected);
    const DeviceMatrix<float> q(expected.q.view(), width + 1), k(expected.k.view(), expected.k.view().cols),
        v(expected.v.view(), expected.v.view().cols), cos(expected.cos.view(), expected.cos.view().cols),
        sin(expected.sin.view(), expected.sin.view().cols);
    DeviceMatrix<float> query(expected.rows, width, width), factor(expected.rows, shape.heads, shape.heads);
    DeviceMatrix<std::uint32_t> status(1, expected.rows, expected.rows, 0);
    cuda::table_cuda().store_cache_rows({.pages = cache.at(cache.sequence, cache.position),
                                         .q_bits = q_bits,
                                         .q = q.view(),
                                         .k = k.view(),
                                         .v = v.view(),
                                         .cos = cos.view(),
                                         .sin = sin.view(),
                                         .query = query.view(),
                                         .factor = factor.view(),
                                         .status = status.data()},
                                        nullptr);
    CHECK(cache.difference() == "");
    const std::vector<std::uint32_t> flags = status.all();
    for (std::size_t r = 0; r < flags.size(); ++r) {
      if (flags[r] == flag_of(expected.status[r])) continue;
      // The CPU tells one of several reasons.
      CHECK((flags[r] & flag_of(expected.status[r])) != 0);
    }
    if (listed.empty()) return;

    std::vector<std::int32_t> sequence, position;
    DeviceMatrix<float> some(count, width, width), factors(count, shape.heads, shape.heads);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t r = listed[static_cast<std::size_t>(i)];
      sequence.push_back(expected.sequence[static_cast<std::size_t>(r)]);
      position.push_back(expected.position[static_cast<std::size_t>(r)]);
    }
    Matrix<float> queries(count, width), query_factors(count, shape.heads);
    const std::vector<float> all_queries = query.all(), all_factors = factor.all();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t r = listed[static_cast<std::size_t>(i)];
      std::copy_n(all_queries.begin() + r * width, width, queries.row(i));
      std::copy_n(all_factors.begin() + r * shape.heads, shape.heads, query_factors.row(i));
    }
    const DeviceMatrix<std::int32_t> sequences = device_vector(sequence), places = device_vector(position);
    const DeviceMatrix<float> listed_queries(queries.view(), width),
        listed_factors(query_factors.view(), shape.heads);
    DeviceMatrix<float> y(count, width, width + 2);
    const std::int64_t chunks = expected.chunks + 1;  // one chunk that no row has
    DeviceMatrix<std::uint8_t> scratch(
        1, cuda::attention_scratch_bytes(count, shape.heads, chunks, shape.head_dim),
        cuda::attention_scratch_bytes(count, shape.heads, chunks, shape.head_dim));
    cuda::table_cuda().attention_cache_rows({.pages = cache.at(sequences, places),
                                             .heads = shape.heads,
                                             .query = listed_queries.view(),
                                             .factor = listed_factors.view(),
                                             .y = y.view(),
                                             .chunks = chunks,
                                             .scratch = scratch.data()},
                                            nullptr);
    CHECK(rows_difference<float>(y, attention.view()) == "");
  });
}

struct Format {
  int bits, first_bits, q_bits;
};
constexpr Format kFormats[] = {{32, 0, 16}, {16, 0, 16}, {4, 0, 16}, {4, 0, 8}, {4, 0, 4},
                               {3, 4, 16},  {3, 4, 8},   {3, 4, 4},  {3, 0, 16}};

}  // namespace

TEST_CASE("X1, X3: attention over the cache equals the CPU's in every format, head size and grouping") {
  for (const Shape shape : {Shape{2, 2, 64}, Shape{4, 2, 100}, Shape{7, 1, 128}, Shape{3, 1, 136},
                            Shape{2, 1, 2}, Shape{1, 1, 256}})
    for (const Format& format : kFormats)
      check(shape, {format.bits, format.first_bits, shape.kv_heads, shape.head_dim}, format.q_bits, 20,
            RowKind::gaussian, {0, 1, 2, 33, 39});
}

TEST_CASE("X3: attention over the cache merges chunks as the CPU does: lengths around 256 and 512") {
  for (const Format& format : {Format{32, 0, 16}, Format{16, 0, 16}, Format{3, 4, 16}, Format{4, 0, 4}})
    check({2, 1, 64}, {format.bits, format.first_bits, 1, 64}, format.q_bits, 514, RowKind::gaussian,
          {508, 511, 512, 514, 1022, 1024, 1027});
}

TEST_CASE("rows that are not finite, or overflow fp16, are told apart and stored as finite codes") {
  for (const RowKind kind : kAllRows)
    for (const Format& format : kFormats)
      check({2, 1, 64}, {format.bits, format.first_bits, 1, 64}, format.q_bits, 2, kind, {});
}

}  // namespace a48::test
