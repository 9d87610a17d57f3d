// Kernel-internal: γ of a head and the product that its cache codes are rounded from (core/quant/cache.h),
// for the Vector and the codes_*.h of the including file.
#pragma once

#include "core/quant/cache.h"

namespace a48::kernels::cpu {
namespace {

struct CacheScale {
  int bits;
  quant::F16 gamma;
  bool finite;  // else γ is 0 here: the head counts as zeros

  A48_INLINE CacheScale(int bits_, std::uint32_t largest_bits)
      : bits(bits_), gamma(quant::cache_gamma(largest_bits)), finite(quant::is_finite(gamma)) {
    if (!finite) gamma = quant::F16{};
  }
  /// (x/γ + 1)·(L/2)
  A48_INLINE Vector product(Vector x) const {
    const float width = quant::widen(gamma);
    const Vector ratio = width > 0.0f ? divide(x, Vector::broadcast(width)) : Vector::zero();
    return (ratio + Vector::broadcast(1.0f)) *
           Vector::broadcast(0.5f * static_cast<float>(quant::cache_max_code(bits)));
  }
  A48_INLINE float step() const { return quant::cache_step(bits, quant::widen(gamma)); }
};

}  // namespace
}  // namespace a48::kernels::cpu
