// Kernel-internal: head_rows, with weights in fp32 or bf16, for the Vector of the including file
// (vector_*.h). A block is kTokens × 4 dot
// products, as many as a Vector has lanes, so that one sum_each ends them all; blocks of weight rows stay in
// the second-level cache over all tokens. A token that is left alone meets kWidth weight rows at a time.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/base/fmath.h"
#include "core/kernels/api.h"
#include "core/kernels/cpu/dot_rows_body.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kVocabulary = 4;  // weight rows of a block
constexpr int kTokens = Vector::kWidth / kVocabulary;
constexpr std::int64_t kChunkBytes = 256 * 1024;  // weights that are reused from cache

template <typename W>
struct HeadRowsOf {
  Rows<const float> x;   // [R, D]
  Rows<const W> weight;  // [V, D]
  Rows<float> logits;    // [R, V]
};

/// Lanes [g·kWidth, (g+1)·kWidth) of all dot products of a block.
template <typename W>
A48_INLINE void dot_group(const float* const (&x)[kTokens], const W* const (&w)[kVocabulary],
                          std::int64_t width, int g, Vector (&sum)[Vector::kWidth]) {
  for (Vector& s : sum) s = Vector::zero();
  std::int64_t k = g * Vector::kWidth;
  for (; k + Vector::kWidth <= width; k += kLanes) {
    Vector token[kTokens];
    for (int i = 0; i < kTokens; ++i) token[i] = Vector::load(x[i] + k);
    for (int j = 0; j < kVocabulary; ++j) {
      const Vector weight = Vector::load(w[j] + k);
      for (int i = 0; i < kTokens; ++i)
        sum[i * kVocabulary + j] = multiply_add(token[i], weight, sum[i * kVocabulary + j]);
    }
  }
  if (k >= width) return;
  const int rest = static_cast<int>(width - k);
  for (int j = 0; j < kVocabulary; ++j) {
    const Vector weight = Vector::load_first(w[j] + k, rest);
    for (int i = 0; i < kTokens; ++i)
      sum[i * kVocabulary + j] =
          multiply_add(Vector::load_first(x[i] + k, rest), weight, sum[i * kVocabulary + j]);
  }
}

/// logits[r0 … r0+tokens, v0 … v0+rows] with tokens <= kTokens and rows <= kVocabulary; the missing ones
/// repeat the last.
template <typename W>
A48_INLINE void head_block(const HeadRowsOf<W>& a, std::int64_t r0, int tokens, std::int64_t v0, int rows) {
  const float* x[kTokens];
  const W* w[kVocabulary];
  for (int i = 0; i < kTokens; ++i) x[i] = a.x.row(r0 + (i < tokens ? i : tokens - 1));
  for (int j = 0; j < kVocabulary; ++j) w[j] = a.weight.row(v0 + (j < rows ? j : rows - 1));

  Vector part[kGroups][Vector::kWidth];
  for (int g = 0; g < kGroups; ++g) dot_group(x, w, a.x.cols, g, part[g]);
  for (int half = kGroups / 2; half > 0; half /= 2) {  // fold_groups of every dot product
    for (int g = 0; g < half; ++g) {
      for (int d = 0; d < Vector::kWidth; ++d) part[g][d] = part[g][d] + part[g + half][d];
    }
  }
  float dots[Vector::kWidth];
  sum_each(part[0]).store(dots);
  for (int i = 0; i < tokens; ++i) {
    float* out = a.logits.row(r0 + i) + v0;
    if (rows == kVocabulary) {
      std::memcpy(out, dots + i * kVocabulary, sizeof(float) * kVocabulary);
    } else {
      for (int j = 0; j < rows; ++j) out[j] = dots[i * kVocabulary + j];
    }
  }
}

/// logits[r, begin … end)
template <typename W>
A48_INLINE void head_of_token(const HeadRowsOf<W>& a, std::int64_t r, std::int64_t begin, std::int64_t end) {
  for (std::int64_t v = begin; v < end; v += Vector::kWidth) {
    const Vector dots =
        dot_rows<kSideBySide>(a.x.row(r), a.weight.row(v), a.weight.stride, end - v, a.x.cols);
    dots.store_first(a.logits.row(r) + v,
                     static_cast<int>(end - v < Vector::kWidth ? end - v : Vector::kWidth));
  }
}

template <typename W>
A48_INLINE void head_rows_body(const HeadRowsOf<W>& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t rows = a.x.rows, width = a.x.cols;
  constexpr std::int64_t kChunk = kChunkBytes / static_cast<std::int64_t>(sizeof(W));
  std::int64_t chunk = kChunk / width / Vector::kWidth * Vector::kWidth;
  if (chunk < Vector::kWidth) chunk = Vector::kWidth;
  for (std::int64_t v0 = begin; v0 < end; v0 += chunk) {
    const std::int64_t v1 = v0 + chunk < end ? v0 + chunk : end;
    std::int64_t r = 0;
    for (; rows - r >= 2; r += kTokens) {
      const int tokens = static_cast<int>(rows - r < kTokens ? rows - r : kTokens);
      for (std::int64_t v = v0; v < v1; v += kVocabulary)
        head_block(a, r, tokens, v, static_cast<int>(v1 - v < kVocabulary ? v1 - v : kVocabulary));
    }
    if (r < rows) head_of_token(a, r, v0, v1);
  }
}

}  // namespace
}  // namespace a48::kernels::cpu
