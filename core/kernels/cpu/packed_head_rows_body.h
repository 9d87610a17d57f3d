// Kernel-internal: packed_head_rows for the Vector of the including file (vector_*.h), which also defines the
// products of integer codes, of one token with the vocabulary rows [begin, end):
//   row_scaled(product, token, begin, end)                   i8
//   group_scaled<HeadClass>(product, token, begin, end)      i6, i4
// The meaning: packed_head_rows_reference.cpp; floats: head_rows_body.h.
#pragma once

#include "core/kernels/cpu/head_rows_body.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

template <typename W>
A48_INLINE void float_product(const HeadProduct& a, std::int64_t begin, std::int64_t end) {
  const Rows<const W> weight(reinterpret_cast<const W*>(a.weight.stored.data), a.weight.rows, a.weight.cols,
                             a.weight.stored.stride / static_cast<std::int64_t>(sizeof(W)));
  head_rows_body<W>({a.x, weight, a.logits}, begin, end);
}

A48_INLINE void packed_head_rows_body(const HeadProduct& a, std::int64_t begin, std::int64_t end) {
  if (a.weight.kind == HeadClass::f32) return float_product<float>(a, begin, end);
  if (a.weight.kind == HeadClass::bf16) return float_product<quant::Bf16>(a, begin, end);
  std::int64_t chunk = kChunkBytes / a.weight.stored.stride / 16 * 16;
  if (chunk < 16) chunk = 16;
  for (std::int64_t v0 = begin; v0 < end; v0 += chunk) {
    const std::int64_t v1 = v0 + chunk < end ? v0 + chunk : end;
    for (std::int64_t r = 0; r < a.logits.rows; ++r) {
      if (a.weight.kind == HeadClass::i8)
        row_scaled(a, r, v0, v1);
      else if (a.weight.kind == HeadClass::i6)
        group_scaled<HeadClass::i6>(a, r, v0, v1);
      else
        group_scaled<HeadClass::i4>(a, r, v0, v1);
    }
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
