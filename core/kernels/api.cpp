// Checks the shapes of each operation and splits its units over threads. The kernels: table.cpp.
#include "core/kernels/api.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/table.h"

namespace a48::kernels {
namespace {

/// Work worth a thread: about 10 µs of a simple operation.
constexpr std::int64_t kTaskElements = 32 * 1024;

/// Units that make up `kTaskElements`, when one of them touches `elements`.
std::int64_t grain(std::int64_t elements) {
  return std::max<std::int64_t>(1, kTaskElements / std::max<std::int64_t>(1, elements));
}

template <typename T>
void check_view(const Rows<T>& view, std::int64_t rows, std::int64_t cols, const char* name) {
  A48_ASSERT(view.rows == rows && view.cols == cols && (rows <= 1 || view.stride >= cols), name, "is",
             view.rows, "x", view.cols, "stride", view.stride, "and should be", rows, "x", cols);
  A48_ASSERT(view.data != nullptr || rows == 0 || cols == 0, name, "has no data");
}

template <typename Args>
void run(RangeKernel<Args> kernel, const Args& args, std::int64_t units, std::int64_t elements_per_unit) {
  parallel_for(units, grain(elements_per_unit),
               [&](std::int64_t begin, std::int64_t end) { kernel(args, begin, end); });
}

}  // namespace

void attention_rows(const AttentionRows& args) {
  const std::int64_t rows = args.q.rows;
  A48_ASSERT(args.heads > 0 && args.kv_heads > 0 && args.heads % args.kv_heads == 0 && args.head_dim > 0,
             "heads", args.heads, "kv_heads", args.kv_heads, "head_dim", args.head_dim);
  check_view(args.q, rows, args.heads * args.head_dim, "q");
  check_view(args.y, rows, args.heads * args.head_dim, "y");
  if (rows == 0) return;
  A48_ASSERT(args.kv != nullptr, "kv has no data");
  std::int64_t positions = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    const KeyValueView& kv = args.kv[r];
    A48_ASSERT(kv.length == 0 || (kv.length > 0 && kv.k != nullptr && kv.v != nullptr &&
                                  (kv.length == 1 || kv.stride >= args.kv_heads * args.head_dim)),
               "kv of row", r, "length", kv.length, "stride", kv.stride);
    positions += kv.length;
  }
  run(table().attention_rows, args, rows * args.heads, 2 * args.head_dim * (positions / rows + 1));
}

void head_rows(const HeadRows& args) {
  check_view(args.weight, args.weight.rows, args.x.cols, "weight");
  check_view(args.x, args.x.rows, args.weight.cols, "x");
  check_view(args.logits, args.x.rows, args.weight.rows, "logits");
  if (args.x.rows == 0 || args.weight.rows == 0) return;
  A48_ASSERT(args.x.cols > 0, "x has no columns");
  // Threads get whole blocks of weight rows.
  constexpr std::int64_t kBlock = 16;
  parallel_for((args.weight.rows + kBlock - 1) / kBlock, grain(kBlock * args.x.cols * args.x.rows),
               [&](std::int64_t begin, std::int64_t end) {
                 table().head_rows(args, begin * kBlock, std::min(end * kBlock, args.weight.rows));
               });
}

}  // namespace a48::kernels
