// Kernel-internal: eight fp32 lanes as a plain array; the meaning of vector_avx2.h and vector_avx512.h. Where
// the compiler has no fma instruction for the baseline CPU, multiply_add is a library call: right, but slow.
#pragma once

#include "core/base/fmath.h"
#include "core/base/host_device.h"
#include "core/quant/half.h"

namespace a48::kernels::cpu {
namespace {

struct Vector {
  static constexpr int kWidth = 8;
  float v[kWidth];

  static A48_INLINE Vector zero() { return {}; }
  static A48_INLINE Vector broadcast(float x) {
    Vector y;
    for (int i = 0; i < kWidth; ++i) y.v[i] = x;
    return y;
  }
  static A48_INLINE Vector load(const float* p) {
    Vector y;
    for (int i = 0; i < kWidth; ++i) y.v[i] = p[i];
    return y;
  }
  /// The first n of 0 … kWidth elements; the others are +0 and not read.
  static A48_INLINE Vector load_first(const float* p, int n) {
    Vector y = zero();
    for (int i = 0; i < n; ++i) y.v[i] = p[i];
    return y;
  }
  /// bf16, widened.
  static A48_INLINE Vector load(const quant::Bf16* p) { return load_first(p, kWidth); }
  static A48_INLINE Vector load_first(const quant::Bf16* p, int n) {
    Vector y = zero();
    for (int i = 0; i < n; ++i) y.v[i] = quant::widen(p[i]);
    return y;
  }
  A48_INLINE void store(float* p) const { store_first(p, kWidth); }
  A48_INLINE void store_first(float* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
};

A48_INLINE Vector operator+(Vector a, Vector b) {
  for (int i = 0; i < Vector::kWidth; ++i) a.v[i] += b.v[i];
  return a;
}
A48_INLINE Vector operator-(Vector a, Vector b) {
  for (int i = 0; i < Vector::kWidth; ++i) a.v[i] -= b.v[i];
  return a;
}
A48_INLINE Vector operator*(Vector a, Vector b) {
  for (int i = 0; i < Vector::kWidth; ++i) a.v[i] *= b.v[i];
  return a;
}
A48_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
  for (int i = 0; i < Vector::kWidth; ++i) c.v[i] = ::fmaf(a.v[i], b.v[i], c.v[i]);
  return c;
}
A48_INLINE Vector maximum(Vector a, Vector b) {
  for (int i = 0; i < Vector::kWidth; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
A48_INLINE Vector exp_f32(Vector x) {
  for (int i = 0; i < Vector::kWidth; ++i) x.v[i] = a48::exp_f32(x.v[i]);
  return x;
}
A48_INLINE float largest_lane(Vector x) {
  float m = x.v[0];
  for (int i = 1; i < Vector::kWidth; ++i) m = m > x.v[i] ? m : x.v[i];
  return m;
}
/// Lane i of the result: the lanes of row[i] added as E1 does, l += l+4, +2, +1.
A48_INLINE Vector sum_each(const Vector (&row)[Vector::kWidth]) {
  Vector sums;
  for (int i = 0; i < Vector::kWidth; ++i) {
    Vector x = row[i];
    for (int half = Vector::kWidth / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) x.v[l] += x.v[l + half];
    }
    sums.v[i] = x.v[0];
  }
  return sums;
}

}  // namespace
}  // namespace a48::kernels::cpu
