// Checks the shapes of each operation and splits its units over threads. The kernels: table.cpp.
#include "core/kernels/api.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/cpu/gemm_bf16.h"
#include "core/kernels/cpu/gemm_ternary.h"
#include "core/kernels/cpu/scratch.h"
#include "core/kernels/table.h"
#include "core/quant/half.h"
#include "core/quant/math.h"
#include "core/quant/pack.h"

namespace a48::kernels {
namespace {

/// Work worth a thread: about 10 µs of a simple operation.
constexpr std::int64_t kTaskElements = 32 * 1024;

/// TopK reads a row about this often (core/quant/topk.h).
constexpr std::int64_t kTopkPasses = 16;

/// Encoding a head's key and value takes about as long as so many simple operations on one of them.
constexpr std::int64_t kStorePasses = 8;

/// Integer scores against cached keys stay below 2^24, exact in fp32: 2·127·15·head_dim.
constexpr std::int64_t kMaxCacheHead = 4096;

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

void check_matrix(const TernaryMatrix& matrix) {
  check_view(matrix.packed, quant::stored_rows(matrix.layout, matrix.rows, matrix.cols),
             quant::stored_row_bytes(matrix.layout, matrix.rows, matrix.cols), "packed");
}

/// |Σ (t+1)·c| <= 2·max_magnitude·K must fit an int32.
void check_sum_bound(int max_magnitude, std::int64_t inputs) {
  A48_ASSERT(max_magnitude >= 1 && max_magnitude <= 127 && inputs < (std::int64_t{1} << 30) / max_magnitude,
             "max_magnitude", max_magnitude, "inputs", inputs);
}

template <typename Args>
void run(RangeKernel<Args> kernel, const Args& args, std::int64_t units, std::int64_t elements_per_unit) {
  parallel_for(units, grain(elements_per_unit),
               [&](std::int64_t begin, std::int64_t end) { kernel(args, begin, end); });
}

}  // namespace

void stat_rows(const StatRows& args) { run(table().stat_rows, args, args.x.rows, args.x.cols); }

void encode_rows(const EncodeRows& args) {
  check_view(args.codes, args.x.rows, args.x.cols, "codes");
  run(table().encode_rows, args, args.x.rows, args.x.cols);
}

void topk_rows(const TopkRows& args) {
  check_view(args.mask, args.x.rows, args.x.cols, "mask");
  A48_ASSERT(args.keep >= 1 && args.keep <= args.x.cols, "keep", args.keep, "of", args.x.cols);
  run(table().topk_rows, args, args.x.rows, kTopkPasses * args.x.cols);
}

void quantize_rows(const QuantizeRows& args) {
  check_view(args.codes, args.x.rows, args.x.cols, "codes");
  A48_ASSERT(args.keep >= 0 && args.keep <= args.x.cols, "keep", args.keep, "of", args.x.cols);
  run(table().quantize_rows, args, args.x.rows, (args.keep > 0 ? kTopkPasses : 1) * args.x.cols);
}

void pack4_rows(const Pack4Rows& args) {
  check_view(args.packed, args.codes.rows, quant::packed4_bytes(args.codes.cols), "packed");
  run(table().pack4_rows, args, args.codes.rows, args.codes.cols);
}

void unpack4_rows(const Unpack4Rows& args) {
  check_view(args.packed, args.codes.rows, quant::packed4_bytes(args.codes.cols), "packed");
  run(table().unpack4_rows, args, args.codes.rows, args.codes.cols);
}

void codes_to_float(const CodesToFloat& args) {
  if (quant::is_four_bit(args.scheme)) {
    check_view(args.packed, args.q.rows, quant::packed4_bytes(args.q.cols), "packed");
  } else {
    check_view(args.codes, args.q.rows, args.q.cols, "codes");
  }
  run(table().codes_to_float, args, args.q.rows, args.q.cols);
}

void rms_norm_rows(const RmsNormRows& args) {
  check_view(args.y, args.x.rows, args.x.cols, "y");
  run(table().rms_norm_rows, args, args.x.rows, args.x.cols);
}

void norm_quantize_rows(const NormQuantizeRows& args) {
  check_view(args.codes, args.x.rows, args.x.cols, "codes");
  A48_ASSERT(args.keep >= 0 && args.keep <= args.x.cols, "keep", args.keep, "of", args.x.cols);
  const std::int64_t width = args.x.cols;
  parallel_for(args.x.rows, grain((args.keep > 0 ? kTopkPasses : 2) * width),
               [&](std::int64_t begin, std::int64_t end) {
                 float* const normed =
                     reinterpret_cast<float*>(cpu::thread_scratch(width * std::int64_t{sizeof(float)}));
                 for (std::int64_t r = begin; r < end; ++r) {
                   table().rms_norm_rows(
                       {{args.x.row(r), 1, width}, args.gain, args.eps, {normed, 1, width}, nullptr}, 0, 1);
                   table().quantize_rows({.x = {normed, 1, width},
                                          .scheme = args.scheme,
                                          .keep = args.keep,
                                          .codes = {args.codes.row(r), 1, width},
                                          .step = args.step + r,
                                          .code_sum = args.code_sum + r,
                                          .status = args.status + r},
                                         0, 1);
                 }
               });
}

void glu_rows(const GluRows& args) {
  check_view(args.up, args.gate.rows, args.gate.cols, "up");
  check_view(args.y, args.gate.rows, args.gate.cols, "y");
  run(table().glu_rows, args, args.gate.rows, args.gate.cols);
}

void glu_backward_rows(const GluBackwardRows& args) {
  check_view(args.up, args.gate.rows, args.gate.cols, "up");
  check_view(args.dy, args.gate.rows, args.gate.cols, "dy");
  check_view(args.dgate, args.gate.rows, args.gate.cols, "dgate");
  check_view(args.dup, args.gate.rows, args.gate.cols, "dup");
  run(table().glu_backward_rows, args, args.gate.rows, args.gate.cols);
}

void rope_rows(const RopeRows& args) {
  check_view(args.x, args.x.rows, args.heads * args.head_dim, "x");
  check_view(args.y, args.x.rows, args.heads * args.head_dim, "y");
  A48_ASSERT(args.head_dim % 2 == 0, "head_dim", args.head_dim);
  check_view(args.cos, args.cos.rows, args.head_dim / 2, "cos");
  check_view(args.sin, args.cos.rows, args.head_dim / 2, "sin");
  for (std::int64_t r = 0; r < args.x.rows; ++r)
    A48_ASSERT(args.position[r] >= 0 && args.position[r] < args.cos.rows, "position", args.position[r],
               "of row", r, "and a table of", args.cos.rows);
  run(table().rope_rows, args, args.x.rows, args.x.cols);
}

namespace {

/// Weights that are packed at a time: bounds the scratch memory, and they are still in cache when they are
/// used.
constexpr std::int64_t kPackedBytes = 4 << 20;
/// Input codes that stay in the second-level cache while panel after panel is multiplied with them.
constexpr std::int64_t kBlockBytes = 128 << 10;

/// The panels of the weights, whichever way they are given.
void pack_panels(const GemmTernaryKernel& kernel, const GemmTernary& args, std::int64_t begin,
                 std::int64_t end, std::byte* panels) {
  if (args.packed != nullptr) {
    kernel.pack_ternary(*args.packed, begin, end, panels);
  } else {
    kernel.pack(args.weight, begin, end, panels);
  }
}

/// Shares of a work whose last block may be short. `size` lengths stand in blocks of `block`; each block has
/// `items` of its own length, one after the other. The item at which so many lengths of items end.
std::int64_t item_behind(std::int64_t lengths, std::int64_t items, std::int64_t size, std::int64_t block) {
  const std::int64_t index = std::min(lengths / (block * items), (size - 1) / block), first = index * block;
  return index * items + (lengths - first * items) / std::min(block, size - first);
}

/// One block of packed outputs after the other: threads pack its panels, then share out the tiles (row block,
/// panel).
void gemm_in_panels(const GemmTernaryKernel& kernel, const GemmTernary& args) {
  const std::int64_t rows = args.codes.rows, inputs = args.codes.cols, width = kernel.panel_outputs;
  const std::int64_t panels = (args.weight.rows + width - 1) / width;
  const std::int64_t panel_bytes = kernel.panel_bytes(inputs);
  const std::int64_t panels_at_once = std::clamp<std::int64_t>(kPackedBytes / panel_bytes, 1, panels);
  const std::int64_t block_rows = std::clamp<std::int64_t>(kBlockBytes / inputs / 12 * 12, 12, rows + 11);
  const std::int64_t blocks = (rows + block_rows - 1) / block_rows;
  if (blocks == 1) {  // a panel is used once, by the thread that packed it
    parallel_for(panels, grain(width * inputs), [&](std::int64_t begin, std::int64_t end) {
      std::byte* panel = cpu::thread_scratch(panel_bytes);
      for (std::int64_t p = begin; p < end; ++p) {
        pack_panels(kernel, args, p, p + 1, panel);
        kernel.multiply(args, panel, p * width, 0, rows);
      }
    });
    return;
  }
  std::byte* packed = cpu::thread_scratch(panels_at_once * panel_bytes);
  for (std::int64_t p0 = 0; p0 < panels; p0 += panels_at_once) {
    const std::int64_t count = std::min(panels_at_once, panels - p0);
    parallel_for(count, grain(width * inputs), [&](std::int64_t begin, std::int64_t end) {
      pack_panels(kernel, args, p0 + begin, p0 + end, packed + begin * panel_bytes);
    });
    parallel_for(rows * count, grain(width * inputs), [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t last = item_behind(end, count, rows, block_rows);
      for (std::int64_t tile = item_behind(begin, count, rows, block_rows); tile < last; ++tile) {
        const std::int64_t row = tile / count * block_rows, panel = tile % count;
        kernel.multiply(args, packed + panel * panel_bytes, (p0 + panel) * width, row,
                        std::min(rows, row + block_rows));
      }
    });
  }
}

}  // namespace

void gemm_ternary(const GemmTernary& given) {
  GemmTernary args = given;
  if (args.packed != nullptr) {  // the kernels take sizes and scale from where int8 weights have them
    check_matrix(*args.packed);
    args.weight = {nullptr, args.packed->rows, args.packed->cols};
    args.alpha = args.packed->alpha;
  } else {
    check_view(args.weight, args.weight.rows, args.codes.cols, "weight");
  }
  check_view(args.codes, args.codes.rows, args.weight.cols, "codes");
  check_view(args.y, args.codes.rows, args.weight.rows, "y");
  check_sum_bound(args.max_magnitude, args.codes.cols);
  if (args.codes.rows == 0 || args.weight.rows == 0) return;
  A48_ASSERT(args.step != nullptr && args.code_sum != nullptr && args.codes.cols > 0, "step", args.step,
             "code_sum", args.code_sum, "inputs", args.codes.cols);
  const GemmTernaryKernel& kernel = *table().gemm_ternary;
  if (args.codes.rows > kernel.direct_rows || (args.packed != nullptr && kernel.pack_ternary != nullptr))
    return gemm_in_panels(kernel, args);
  parallel_for(args.weight.rows, grain(args.codes.cols),
               [&](std::int64_t begin, std::int64_t end) { kernel.direct(args, begin, end); });
}

namespace {

/// Rows that are packed at a time, in bytes: bounds the scratch memory.
constexpr std::int64_t kBf16RowBytes = 8 << 20;
/// Blocks of rows that one thread multiplies with a panel before another may take over: 256 rows.
constexpr std::int64_t kBf16TileBlocks = 32;
/// Multiply-adds worth a thread: some microseconds.
constexpr std::int64_t kBf16TaskProducts = 1 << 20;

/// Calls body(range) for each block of inputs in turn; once, with an empty one, when there are none.
template <typename Body>
void for_each_range(std::int64_t inputs, Body body) {
  std::int64_t k = 0;
  do body(InputRange{k, std::min(inputs, k + kBf16Inputs)});
  while ((k += kBf16Inputs) < inputs);
}

/// Threads pack the rows, then share out the tiles (panel, block of rows), and pack each panel that they come
/// to.
void gemm_bf16_rows(const GemmBf16Kernel& kernel, const GemmBf16& args, std::int64_t inputs) {
  const std::int64_t pairs = (inputs + 1) / 2;
  const std::int64_t blocks = (args.c.rows + kBf16Rows - 1) / kBf16Rows;
  const std::int64_t panels = (args.c.cols + kBf16Outputs - 1) / kBf16Outputs;
  const std::int64_t tiles_down = (blocks + kBf16TileBlocks - 1) / kBf16TileBlocks;
  const std::int64_t tiles = tiles_down * panels;
  const std::int64_t parts = std::clamp<std::int64_t>(args.c.rows * args.c.cols * inputs / kBf16TaskProducts,
                                                      1, std::min<std::int64_t>(thread_count(), tiles));
  // Both multiples of 16 words: panels start at lines.
  const std::int64_t row_words = (blocks * kBf16Rows * pairs + 15) / 16 * 16;
  const std::int64_t panel_words = kBf16Outputs * pairs;
  auto* const rows = reinterpret_cast<std::uint32_t*>(
      cpu::thread_scratch((row_words + parts * panel_words) * std::int64_t{sizeof(std::uint32_t)}));
  // Block b of the inputs from k on.
  const auto block_at = [&](InputRange range, std::int64_t b) {
    return rows + blocks * kBf16Rows * (range.begin / 2) + b * kBf16Rows * range.pairs();
  };
  parallel_for((blocks + 1) / 2, grain(2 * kBf16Rows * inputs), [&](std::int64_t begin, std::int64_t end) {
    for_each_range(inputs, [&](InputRange range) {
      kernel.pack_rows(args, range, 2 * begin, std::min(blocks, 2 * end), block_at(range, 2 * begin));
    });
  });
  parallel_for(parts, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t part = first; part < last; ++part) {
      std::uint32_t* const outputs = rows + row_words + part * panel_words;
      std::int64_t held = -1;
      for (std::int64_t tile = tiles * part / parts; tile < tiles * (part + 1) / parts; ++tile) {
        const std::int64_t panel = tile / tiles_down, begin = tile % tiles_down * kBf16TileBlocks;
        for_each_range(inputs, [&](InputRange range) {
          std::uint32_t* const words = outputs + range.begin / 2 * kBf16Outputs;
          if (panel != held) kernel.pack_outputs(args, range, panel, words);
          kernel.multiply(args, range.pairs(), block_at(range, begin), begin,
                          std::min(blocks, begin + kBf16TileBlocks), words, panel,
                          args.accumulate || range.begin > 0);
        });
        held = panel;
      }
    }
  });
}

}  // namespace

void gemm_bf16(const GemmBf16& args) {
  const std::int64_t rows = args.c.rows, outputs = args.c.cols;
  const std::int64_t inputs = args.a_transposed ? args.a.rows : args.a.cols;
  check_view(args.c, rows, outputs, "c");
  if (args.a_transposed) {
    check_view(args.a, inputs, rows, "a");
  } else {
    check_view(args.a, rows, inputs, "a");
    A48_ASSERT(args.a_scale == nullptr, "a_scale goes with a transposed a");
  }
  if (args.b_packed.data != nullptr) {
    A48_ASSERT(quant::is_four_bit(args.scheme), "b_packed of", quant::row_of(args.scheme).name);
    check_view(args.b_packed, inputs, quant::packed4_bytes(outputs), "b_packed");
  } else if (args.b_codes.data != nullptr) {
    check_view(args.b_codes, inputs, outputs, "b_codes");
  } else {
    check_view(args.b, inputs, outputs, "b");
  }
  if (args.c.empty()) return;
  constexpr std::int64_t kTileRows = kBf16TileBlocks * kBf16Rows;
  const std::int64_t at_once =
      std::max<std::int64_t>(1, kBf16RowBytes / (2 * kTileRows * (inputs + 1))) * kTileRows;
  for (std::int64_t row = 0; row < rows; row += at_once) {
    GemmBf16 part = args;
    const std::int64_t count = std::min(at_once, rows - row);
    part.c = {args.c.row(row), count, outputs, args.c.stride};
    part.a = args.a_transposed ? Rows<const float>(args.a.data + row, inputs, count, args.a.stride)
                               : Rows<const float>(args.a.row(row), count, inputs, args.a.stride);
    gemm_bf16_rows(*table().gemm_bf16, part, inputs);
  }
}

namespace {

/// Bytes of packed weights worth a thread: some microseconds.
constexpr std::int64_t kTaskBytes = 48 * 1024;

std::int64_t packed_grain(const TernaryMatrix& matrix) {
  return std::max<std::int64_t>(1, kTaskBytes / matrix.packed.cols);
}

/// A sum of up to 64·2·|code| an input (gemv_ternary_avx512.cpp) must fit an int32; formats.md 9 has no wider
/// rows.
constexpr std::int64_t kMostInputs = std::int64_t{1} << 17;
static_assert(64 * 2 * 127 * kMostInputs < std::int64_t{1} << 31);

void check_token(const TokenCodes& input, const TernaryMatrix& matrix) {
  check_matrix(matrix);
  A48_ASSERT(input.max_magnitude >= 1 && input.max_magnitude <= 127 && matrix.cols <= kMostInputs,
             "max_magnitude", input.max_magnitude, "inputs", matrix.cols);
  A48_ASSERT(input.codes != nullptr, "codes have no data");
}

/// Rows of one matrix: all of its stored rows in the range.
void gemv_stored_rows(const TokenCodes& input, const TernaryMatrix& matrix, float* y, std::int64_t begin,
                      std::int64_t end) {
  if (matrix.layout == quant::TernaryLayout::t2_row4) {
    table().gemv_ternary({input, matrix, y}, begin, end);
  } else {
    table().gemv_ternary_rows({input, matrix, nullptr, matrix.rows, y}, begin, end);
  }
}

}  // namespace

void gemv_ternary(const GemvTernary& args) {
  std::int64_t stored_rows = 0;
  for (int m = 0; m < args.matrices; ++m) {
    const TernaryMatrix& matrix = args.matrix[m];
    check_token(args.input, matrix);
    A48_ASSERT(matrix.layout != quant::TernaryLayout::t2_col && matrix.cols == args.matrix[0].cols, "matrix",
               m, "layout", static_cast<int>(matrix.layout), "inputs", matrix.cols);
    A48_ASSERT(args.y[m] != nullptr, "y", m, "has no data");
    stored_rows += matrix.packed.rows;
  }
  if (stored_rows == 0) return;
  parallel_for(stored_rows, packed_grain(args.matrix[0]), [&](std::int64_t begin, std::int64_t end) {
    std::int64_t first = 0;  // of the matrix, in the list of all
    for (int m = 0; m < args.matrices; ++m) {
      const std::int64_t rows = args.matrix[m].packed.rows;
      const std::int64_t from = std::max<std::int64_t>(begin - first, 0), to = std::min(end - first, rows);
      if (from < to) gemv_stored_rows(args.input, args.matrix[m], args.y[m], from, to);
      first += rows;
    }
  });
}

void gemv_ternary_rows(const GemvTernaryRows& args) {
  check_token(args.input, args.matrix);
  A48_ASSERT(args.matrix.layout == quant::TernaryLayout::t2_row, "layout",
             static_cast<int>(args.matrix.layout));
  if (args.count == 0) return;
  A48_ASSERT(args.row != nullptr && args.y != nullptr && args.count <= args.matrix.rows && args.row[0] >= 0 &&
                 args.row[args.count - 1] < args.matrix.rows,
             "row", args.row, "y", args.y, "count", args.count, "of", args.matrix.rows);
  parallel_for(args.count, packed_grain(args.matrix),
               [&](std::int64_t begin, std::int64_t end) { table().gemv_ternary_rows(args, begin, end); });
}

std::int64_t gemv_ternary_columns(const GemvTernaryColumns& args) {
  const TernaryMatrix& matrix = args.matrix;
  check_token(args.input, matrix);
  A48_ASSERT(matrix.layout == quant::TernaryLayout::t2_col, "layout", static_cast<int>(matrix.layout));
  check_view(args.sums, args.sums.rows, args.sums.cols, "sums");
  A48_ASSERT(args.sums.rows >= thread_count() && args.sums.cols >= 4 * matrix.packed.cols &&
                 args.column != nullptr && args.y != nullptr,
             "sums", args.sums.rows, "x", args.sums.cols, "threads", thread_count(), "outputs", matrix.rows);
  const std::int64_t count = table().list_codes(args.input.codes, matrix.cols, args.column);
  const std::int64_t parts = std::clamp<std::int64_t>(count / packed_grain(matrix), 1, thread_count());
  parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part)
      table().gemv_ternary_columns({args.input, matrix, args.column, args.sums.row(part)},
                                   part * count / parts, (part + 1) * count / parts);
  });
  for (std::int64_t part = 1; part < parts; ++part) {
    const std::int32_t* sums = args.sums.row(part);
    for (std::int64_t n = 0; n < matrix.rows; ++n) args.sums.data[n] += sums[n];
  }
  for (std::int64_t n = 0; n < matrix.rows; ++n)
    args.y[n] = quant::epilogue(args.sums.data[n] - args.input.code_sum, args.input.step, matrix.alpha);
  return count;
}

std::int64_t list_positive(const float* x, std::int64_t n, std::int32_t* row) {
  return table().list_positive(x, n, row);
}

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

namespace {

/// Threads get whole blocks of vocabulary rows.
constexpr std::int64_t kVocabularyBlock = 16;

template <typename Args>
void run_vocabulary(RangeKernel<Args> kernel, const Args& args, std::int64_t tokens, std::int64_t vocabulary,
                    std::int64_t width) {
  parallel_for((vocabulary + kVocabularyBlock - 1) / kVocabularyBlock,
               grain(kVocabularyBlock * width * tokens), [&](std::int64_t begin, std::int64_t end) {
                 kernel(args, begin * kVocabularyBlock, std::min(end * kVocabularyBlock, vocabulary));
               });
}

}  // namespace

void store_cache_rows(const StoreCacheRows& args) {
  const std::int64_t width = args.layout.kv_heads * args.layout.head_dim;
  check_view(args.k, args.k.rows, width, "k");
  check_view(args.v, args.k.rows, width, "v");
  if (args.q_bits < 16) check_view(args.q, args.k.rows, args.q.cols, "q");
  for (std::int64_t r = 0; r < args.k.rows; ++r)
    A48_ASSERT(args.kv[r].length >= 1 && (args.kv[r].first != nullptr) == (args.layout.first_bits != 0),
               "view of row", r, "length", args.kv[r].length);
  run(table().store_cache_rows, args, args.k.rows, kStorePasses * width);
}

namespace {

std::int64_t padded_head(std::int64_t head_dim) {
  return (head_dim + quant::kCacheBlock - 1) / quant::kCacheBlock * quant::kCacheBlock;
}
std::int64_t chunks_of(std::int64_t length) { return (length + quant::kCacheChunk - 1) / quant::kCacheChunk; }
/// The unit of attention_cache_sums at which so many positions end, looked at head by head.
std::int64_t unit_behind(const AttentionCachePart& part, std::int64_t longest, std::int64_t positions) {
  const std::int64_t tiles = part.tiles(), of_head = longest * tiles;
  return positions / of_head * part.chunks * tiles +
         item_behind(positions % of_head, tiles, longest, quant::kCacheChunk);
}
/// Floats of one (row, head, chunk): acc_c, m_c and the fp64 Z_c.
std::int64_t part_floats(std::int64_t head_dim) { return padded_head(head_dim) + 3; }

}  // namespace

std::int64_t attention_cache_scratch(const CacheLayout& layout, std::int64_t heads, std::int64_t length) {
  return heads * chunks_of(length) * part_floats(layout.head_dim);
}

void attention_cache_rows(const AttentionCacheRows& args) {
  const CacheLayout& layout = args.layout;
  const std::int64_t width = args.heads * layout.head_dim, rows = args.q.rows;
  A48_ASSERT(layout.kv_heads > 0 && args.heads > 0 && args.heads % layout.kv_heads == 0, "heads", args.heads,
             "kv_heads", layout.kv_heads);
  A48_ASSERT(layout.head_dim > 0 && layout.head_dim <= kMaxCacheHead, "head_dim", layout.head_dim);
  A48_ASSERT(args.q_bits == 16 || layout.bits < 16, "q_bits", args.q_bits, "bits", layout.bits);
  check_view(args.q, rows, width, "q");
  check_view(args.y, rows, width, "y");
  std::int64_t longest = 1;
  for (std::int64_t r = 0; r < rows; ++r) longest = std::max(longest, args.kv[r].length);
  const std::int64_t chunks = chunks_of(longest);
  const std::int64_t parts_of_row = args.heads * chunks;
  const std::int64_t rows_at_once = args.scratch_size / (parts_of_row * part_floats(layout.head_dim));
  A48_ASSERT(rows == 0 || rows_at_once >= 1, "scratch of", args.scratch_size, "floats for", chunks, "chunks");

  for (std::int64_t first = 0; first < rows; first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, rows - first), parts = count * parts_of_row;
    AttentionCachePart part{args, chunks, padded_head(layout.head_dim), nullptr, nullptr, args.scratch};
    part.rows.q = {args.q.row(first), count, width, args.q.stride};
    part.rows.y = {args.y.row(first), count, width, args.y.stride};
    part.rows.kv = args.kv + first;
    part.sum = reinterpret_cast<double*>(part.acc + parts * part.acc_stride);
    part.max = reinterpret_cast<float*>(part.sum + parts);
    parallel_for(layout.kv_heads * longest * part.tiles(),
                 grain(2 * layout.head_dim * (args.heads / layout.kv_heads)),
                 [&](std::int64_t begin, std::int64_t end) {
                   table().attention_cache_sums(part, unit_behind(part, longest, begin),
                                                unit_behind(part, longest, end));
                 });
    run(table().attention_cache_merge, part, count * args.heads, chunks * layout.head_dim);
  }
}

void head_rows(const HeadRows& args) {
  check_view(args.weight, args.weight.rows, args.x.cols, "weight");
  check_view(args.x, args.x.rows, args.weight.cols, "x");
  check_view(args.logits, args.x.rows, args.weight.rows, "logits");
  if (args.x.rows == 0 || args.weight.rows == 0) return;
  A48_ASSERT(args.x.cols > 0, "x has no columns");
  run_vocabulary(table().head_rows, args, args.x.rows, args.weight.rows, args.x.cols);
}

namespace {

bool holds_integers(HeadClass kind) { return kind != HeadClass::f32 && kind != HeadClass::bf16; }

std::int64_t stored_bytes(HeadClass kind, std::int64_t width) {
  switch (kind) {
    case HeadClass::f32:
      return width * 4;
    case HeadClass::bf16:
      return width * 2;
    case HeadClass::i8:
      return quant::i8_row_bytes(width);
    case HeadClass::i6:
      return quant::i6_row_bytes(width);
    case HeadClass::i4:
      return quant::i4_row_bytes(width);
  }
  return 0;
}

bool starts_at_lines(const void* data, std::int64_t stride_in_bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % 64 == 0 && stride_in_bytes % 64 == 0;
}

void check_head(const HeadWeight& weight) {
  const std::int64_t bytes = stored_bytes(weight.kind, weight.cols);
  A48_ASSERT(weight.rows > 0 && weight.cols > 0 && weight.stored.rows == weight.rows &&
                 weight.stored.cols >= bytes && weight.stored.stride >= bytes &&
                 starts_at_lines(weight.stored.data, weight.stored.stride),
             "stored is", weight.stored.rows, "x", weight.stored.cols, "stride", weight.stored.stride,
             "for a head of", weight.rows, "x", weight.cols);
  const auto& scale = weight.group_scale;
  A48_ASSERT(weight.kind != HeadClass::i8 || weight.row_scale != nullptr, "row_scale has no data");
  A48_ASSERT((weight.kind != HeadClass::i6 && weight.kind != HeadClass::i4) ||
                 (scale.data != nullptr && scale.rows == weight.rows &&
                  scale.cols == quant::head_groups(weight.cols) &&
                  starts_at_lines(scale.data, scale.stride * std::int64_t{sizeof(std::uint16_t)})),
             "group_scale is", scale.rows, "x", scale.cols, "stride", scale.stride);
}

}  // namespace

void packed_head_rows(const PackedHeadRows& args) {
  const HeadWeight& weight = args.weight;
  check_view(args.x, args.x.rows, weight.cols, "x");
  check_view(args.logits, args.x.rows, weight.rows, "logits");
  check_head(weight);
  constexpr std::int64_t kTokens = 64;  // that are at work together
  float step[kTokens];
  std::int32_t code_sum[kTokens];
  std::uint8_t status[kTokens];
  for (std::int64_t r = 0; r < args.x.rows; r += kTokens) {
    const std::int64_t tokens = std::min(kTokens, args.x.rows - r);
    HeadProduct product{.x = {args.x.row(r), tokens, args.x.cols, args.x.stride},
                        .weight = weight,
                        .codes = {},
                        .step = step,
                        .code_sum = code_sum,
                        .logits = {args.logits.row(r), tokens, args.logits.cols, args.logits.stride}};
    if (holds_integers(weight.kind)) {
      A48_ASSERT(args.codes.rows >= args.x.rows && args.codes.cols % kCodePadding == 0 &&
                     args.codes.cols >= weight.cols && args.codes.stride >= args.codes.cols,
                 "codes", args.codes.rows, "x", args.codes.cols, "stride", args.codes.stride);
      const Rows<std::int8_t> codes(args.codes.row(r), tokens, weight.cols, args.codes.stride);
      quantize_rows({product.x, quant::Scheme::int8, 0, codes, step, code_sum, status});
      for (std::int64_t i = 0; i < tokens; ++i)
        if (status[i] != kRowFinite) step[i] = std::numeric_limits<float>::quiet_NaN();
      product.codes = codes;
    }
    run_vocabulary(table().packed_head_rows, product, tokens, weight.rows, weight.cols);
  }
}

void widen_row(const HeadWeight& weight, std::int64_t v, float* y) {
  A48_ASSERT(v >= 0 && v < weight.rows, "row", v, "of", weight.rows);
  const std::uint8_t* stored = weight.stored.row(v);
  const auto fill = [&](auto value) {
    for (std::int64_t k = 0; k < weight.cols; ++k) y[k] = value(k);
  };
  const auto group_scale = [&](std::int64_t k) {
    return quant::widen(quant::F16{weight.group_scale.row(v)[k / quant::kHeadGroup]});
  };
  switch (weight.kind) {
    case HeadClass::f32:
      std::memcpy(y, stored, static_cast<std::size_t>(weight.cols) * sizeof(float));
      break;
    case HeadClass::bf16:
      fill([bf16 = reinterpret_cast<const quant::Bf16*>(stored)](std::int64_t k) {
        return quant::widen(bf16[k]);
      });
      break;
    case HeadClass::i8:
      fill([&](std::int64_t k) {
        return static_cast<float>(static_cast<std::int8_t>(stored[k])) * weight.row_scale[v];
      });
      break;
    case HeadClass::i6:
      fill([&](std::int64_t k) { return static_cast<float>(quant::i6_at(stored, k)) * group_scale(k); });
      break;
    case HeadClass::i4:
      fill([&](std::int64_t k) { return static_cast<float>(quant::i4_at(stored, k)) * group_scale(k); });
      break;
  }
}

std::int64_t count_zero_codes(Rows<const std::int8_t> codes) {
  std::int64_t zeros = 0;
  for (std::int64_t r = 0; r < codes.rows; ++r)
    zeros += std::count(codes.row(r), codes.row(r) + codes.cols, 0);
  return zeros;
}

}  // namespace a48::kernels
