// Kernel-internal: packed_head_rows for the Vector of the including file (vector_*.h), which also defines the
// integer products of one token:
//   void row_scaled(const HeadProduct&, token, begin, end)            i8
//   template <HeadClass> void group_scaled(const HeadProduct&, token, begin, end)    i6, i4
// The meaning: packed_head_rows_reference.cpp; floats: head_rows_body.h.
#pragma once

#include <algorithm>

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

}  // namespace
}  // namespace a48::kernels::cpu
