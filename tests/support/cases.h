// The inputs of the kernels, declared once: tests on CPU and GPU and `a48 bench` iterate over them. Free of
// Catch2, so that a tool may include it.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "core/base/rng.h"
#include "core/base/view.h"
#include "core/quant/scheme.h"

namespace a48::test {

/// What a row holds. The kinds after `outlier` are not finite.
enum class RowKind {
  gaussian,
  zeros,
  minus_zeros,
  all_equal,
  one_hot,
  ties,  // multiples of 1/2, so that many products and many magnitudes tie
  denormals,
  below_floor,  // statistic below 1e-5
  huge,         // near the largest float
  outlier,      // Gaussian with one entry at 200 standard deviations
  one_nan,
  one_infinity,
};

inline constexpr std::array kFiniteRows{
    RowKind::gaussian, RowKind::zeros,     RowKind::minus_zeros, RowKind::all_equal, RowKind::one_hot,
    RowKind::ties,     RowKind::denormals, RowKind::below_floor, RowKind::huge,      RowKind::outlier};
inline constexpr std::array kAllRows{RowKind::gaussian,  RowKind::zeros,       RowKind::minus_zeros,
                                     RowKind::all_equal, RowKind::one_hot,     RowKind::ties,
                                     RowKind::denormals, RowKind::below_floor, RowKind::huge,
                                     RowKind::outlier,   RowKind::one_nan,     RowKind::one_infinity};

/// Widths around the sizes of registers and blocks, the odd ones of the presets, and the seed's.
inline constexpr std::array<std::int64_t, 14> kRowWidths{1,  3,  7,   8,   15,  31,   32,
                                                         33, 64, 100, 136, 384, 2202, 5460};

/// Activation quantizers.
inline constexpr std::array kActivationSchemes{quant::Scheme::int8,        quant::Scheme::int4,
                                               quant::Scheme::int4_absmax, quant::Scheme::int4_absmean2,
                                               quant::Scheme::fp4,         quant::Scheme::fp4_e1m2};

/// Fills row `r` of a stream of rows.
inline void fill_row(RowKind kind, float* x, std::int64_t width, std::uint64_t seed, std::int64_t r) {
  const std::uint64_t stream = static_cast<std::uint64_t>(r);
  const auto index = [](std::int64_t k) { return static_cast<std::uint64_t>(k); };
  const std::int64_t special =
      static_cast<std::int64_t>(random_bits(seed, stream, 0) % static_cast<std::uint64_t>(width));
  for (std::int64_t k = 0; k < width; ++k) {
    const float normal = static_cast<float>(random_normal(seed, stream, index(k)));
    switch (kind) {
      case RowKind::zeros:
        x[k] = 0.0f;
        break;
      case RowKind::minus_zeros:
        x[k] = k % 3 == 0 ? 0.0f : -0.0f;
        break;
      case RowKind::all_equal:
        x[k] = k % 2 == 0 ? 0.75f : -0.75f;
        break;
      case RowKind::one_hot:
        x[k] = k == special ? -3.25f : 0.0f;
        break;
      case RowKind::ties:
        x[k] = 0.5f * static_cast<float>(static_cast<int>(random_bits(seed, stream, index(k)) % 17) - 8);
        break;
      case RowKind::denormals:
        x[k] = normal * 1e-39f;
        break;
      case RowKind::below_floor:
        x[k] = normal * 1e-7f;
        break;
      case RowKind::huge:
        x[k] = normal * 5e37f;
        break;
      default:
        x[k] = normal;
    }
  }
  if (kind == RowKind::outlier) x[special] = 200.0f;
  if (kind == RowKind::one_nan) x[special] = std::numeric_limits<float>::quiet_NaN();
  if (kind == RowKind::one_infinity) x[special] = -std::numeric_limits<float>::infinity();
}

/// The shapes of training's row operations: 2048 tokens of the 11M preset (D 384, F 1024).
struct RowShape {
  std::int64_t rows, cols;
};
inline constexpr std::array<RowShape, 2> kTrainingShapes{{{2048, 384}, {2048, 1024}}};

}  // namespace a48::test
