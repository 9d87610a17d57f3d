// Kernel-internal: packed_head_rows for the Vector of the including file (vector_*.h), which also defines the
// products of integer codes, of the tokens [token, token + kTokens) with the vocabulary rows [begin, end):
//   row_scaled<kTokens>(product, token, begin, end)                   i8
//   group_scaled<HeadClass, kTokens>(product, token, begin, end)      i6, i4
// Several tokens share what is read and unpacked of a row; each has its own sums, in the order it has alone.
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

constexpr int kHeadTokens = 4;  // that go together

template <int kTokens>
void integer_product(const HeadProduct& a, std::int64_t token, std::int64_t begin, std::int64_t end) {
  if (a.weight.kind == HeadClass::i8) return row_scaled<kTokens>(a, token, begin, end);
  if (a.weight.kind == HeadClass::i6) return group_scaled<HeadClass::i6, kTokens>(a, token, begin, end);
  group_scaled<HeadClass::i4, kTokens>(a, token, begin, end);
}

A48_INLINE void packed_head_rows_body(const HeadProduct& a, std::int64_t begin, std::int64_t end) {
  if (a.weight.kind == HeadClass::f32) return float_product<float>(a, begin, end);
  if (a.weight.kind == HeadClass::bf16) return float_product<quant::Bf16>(a, begin, end);
  std::int64_t chunk = kChunkBytes / a.weight.stored.stride / 16 * 16;
  if (chunk < 16) chunk = 16;
  for (std::int64_t v0 = begin; v0 < end; v0 += chunk) {
    const std::int64_t v1 = v0 + chunk < end ? v0 + chunk : end;
    std::int64_t r = 0;
    for (; r + kHeadTokens <= a.logits.rows; r += kHeadTokens) integer_product<kHeadTokens>(a, r, v0, v1);
    for (; r < a.logits.rows; ++r) integer_product<1>(a, r, v0, v1);
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
