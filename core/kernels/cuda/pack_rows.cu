// Storage below a byte: two 4-bit codes per byte as core/quant/pack.h says, and the words of ternary weights
// of layout.h. One thread makes one byte or one word.
#include "core/kernels/cuda/elementwise.cuh"
#include "core/kernels/cuda/entries.h"
#include "core/quant/pack.h"

namespace a48::kernels::cuda {
namespace {

__global__ void pack4_kernel(quant::CodeKind kind, Rows<const std::int8_t> codes, Rows<std::uint8_t> packed) {
  const std::int64_t r = row_of_thread(), byte = item_of_thread(), k = 2 * byte;
  if (k >= codes.cols) return;
  packed.row(r)[byte] = quant::pack_pair(kind, codes.row(r)[k], k + 1 < codes.cols ? codes.row(r)[k + 1] : 0);
}

__global__ void unpack4_kernel(quant::CodeKind kind, Rows<const std::uint8_t> packed,
                               Rows<std::int8_t> codes) {
  const std::int64_t r = row_of_thread(), byte = item_of_thread();
  if (2 * byte >= codes.cols) return;
  const int both = packed.row(r)[byte];
  for (int i = 0; i < 2; ++i) {
    if (2 * byte + i < codes.cols)
      codes.row(r)[2 * byte + i] = static_cast<std::int8_t>(
          quant::code_of_nibble(kind, static_cast<std::uint8_t>(both >> (4 * i) & 15)));
  }
}

/// code(input) = c of one input of the row.
template <typename Code>
__device__ std::uint32_t word_of(std::int64_t word, std::int64_t inputs, Code code) {
  std::uint32_t bits = kEmptyTernaryWord;
  for (int place = 0; place < kWordInputs; ++place) {
    const std::int64_t k = word * kWordInputs + place;
    if (k >= inputs) break;
    const std::uint32_t field = 3u << ternary_shift(place);
    bits = (bits & ~field) | code(k) << ternary_shift(place);
  }
  return bits;
}

__global__ void words_from_codes_kernel(Rows<const std::int8_t> codes, Rows<std::uint32_t> words) {
  const std::int64_t n = row_of_thread(), word = item_of_thread();
  if (word >= words.cols) return;
  const std::int8_t* row = codes.row(n);
  words.row(n)[word] =
      word_of(word, codes.cols, [row](std::int64_t k) { return static_cast<std::uint32_t>(row[k] + 1); });
}

__global__ void words_from_stored_kernel(quant::TernaryLayout layout, std::int64_t inputs,
                                         Rows<const std::uint8_t> stored, Rows<std::uint32_t> words) {
  const std::int64_t n = row_of_thread(), word = item_of_thread();
  if (word >= words.cols) return;
  words.row(n)[word] = word_of(word, inputs, [&](std::int64_t k) {
    const quant::TernaryPlace place = quant::ternary_place(layout, n, k);
    return static_cast<std::uint32_t>(stored.row(place.row)[place.byte] >> (2 * place.code) & 3);
  });
}

}  // namespace

void pack4_rows(const Pack4Rows& args, Stream stream) {
  launch("pack4_rows", stream, grid_of_items(args.codes.rows, quant::packed4_bytes(args.codes.cols)),
         pack4_kernel, quant::row_of(args.scheme).kind, args.codes, args.packed);
}

void unpack4_rows(const Unpack4Rows& args, Stream stream) {
  launch("unpack4_rows", stream, grid_of_items(args.codes.rows, quant::packed4_bytes(args.codes.cols)),
         unpack4_kernel, quant::row_of(args.scheme).kind, args.packed, args.codes);
}

void ternary_words(const TernaryWordsArgs& args, Stream stream) {
  const std::int64_t count = ternary_row_words(args.inputs);
  A48_ASSERT(args.words.rows == args.outputs && args.words.cols == count && args.words.stride % 16 == 0,
             "words", args.words.rows, "x", args.words.cols, "stride", args.words.stride);
  const Grid grid = grid_of_items(args.outputs, count);
  if (args.codes.data != nullptr) {
    A48_ASSERT(args.codes.rows == args.outputs && args.codes.cols == args.inputs, "codes", args.codes.rows,
               "x", args.codes.cols);
    launch("ternary_words of codes", stream, grid, words_from_codes_kernel, args.codes, args.words);
  } else {
    A48_ASSERT(args.stored.rows == quant::stored_rows(args.layout, args.outputs, args.inputs) &&
                   args.stored.cols == quant::stored_row_bytes(args.layout, args.outputs, args.inputs),
               "stored", args.stored.rows, "x", args.stored.cols);
    launch("ternary_words of stored bytes", stream, grid, words_from_stored_kernel, args.layout, args.inputs,
           args.stored, args.words);
  }
}

}  // namespace a48::kernels::cuda
