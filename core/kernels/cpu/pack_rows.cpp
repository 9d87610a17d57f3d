// 4-bit codes <-> bytes, and codes as floats: the portable loops. The words: core/quant/pack.h.
// The same in instructions: pack_rows_avx2.cpp.
#include "core/kernels/cpu/entries.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {

using quant::CodeKind;

void pack4_rows_portable(const Pack4Rows& args, std::int64_t begin, std::int64_t end) {
  const CodeKind kind = quant::row_of(args.scheme).kind;
  const std::int64_t width = args.codes.cols;
  for (std::int64_t r = begin; r < end; ++r) {
    const std::int8_t* codes = args.codes.row(r);
    std::uint8_t* packed = args.packed.row(r);
    for (std::int64_t i = 0; i < width / 2; ++i)
      packed[i] = quant::pack_pair(kind, codes[2 * i], codes[2 * i + 1]);
    if (width % 2 != 0) packed[width / 2] = quant::pack_pair(kind, codes[width - 1], 0);
  }
}

void unpack4_rows_portable(const Unpack4Rows& args, std::int64_t begin, std::int64_t end) {
  const CodeKind kind = quant::row_of(args.scheme).kind;
  for (std::int64_t r = begin; r < end; ++r)
    for (std::int64_t k = 0; k < args.codes.cols; ++k) {
      const int nibble = (args.packed.row(r)[k / 2] >> (k % 2 * 4)) & 15;
      args.codes.row(r)[k] =
          static_cast<std::int8_t>(quant::code_of_nibble(kind, static_cast<std::uint8_t>(nibble)));
    }
}

void codes_to_float_portable(const CodesToFloat& args, std::int64_t begin, std::int64_t end) {
  const quant::SchemeRow& scheme = quant::row_of(args.scheme);
  for (std::int64_t r = begin; r < end; ++r) {
    float* q = args.q.row(r);
    if (scheme.storage_bits == 4) {
      for (std::int64_t k = 0; k < args.q.cols; ++k) {
        const int nibble = (args.packed.row(r)[k / 2] >> (k % 2 * 4)) & 15;
        q[k] = static_cast<float>(quant::code_of_nibble(scheme.kind, static_cast<std::uint8_t>(nibble)));
      }
    } else {
      for (std::int64_t k = 0; k < args.q.cols; ++k) q[k] = static_cast<float>(args.codes.row(r)[k]);
    }
  }
}

}  // namespace a48::kernels::cpu
