// The quantizer table: one row per quantizer; every name, range and rule of numerics.md 2 stands here once.
// The formulas that use a row: math.h. Layouts of the stored codes: pack.h.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace a48::quant {

enum class Scheme : int { fp, int8, int4, int4_absmax, int4_absmean2, fp4, fp4_e1m2, ternary };

/// What a row is measured by: max|x|, mean|x|, or 2·mean|x|; each clamped from below to kStatisticFloor.
enum class Statistic : int { none, absmax, absmean, absmean2 };

enum class CodeKind : int { none, integer, fp4_grid };

inline constexpr float kStatisticFloor = 1e-5f;  // ε_c of numerics.md 2
inline constexpr float kSqrt7 = 2.6457513f;      // c7 = fp32(√7)

struct SchemeRow {
  Scheme scheme;
  const char* name;  // in configurations
  const char* help;
  Statistic statistic;
  float inverse_numerator;  // inv = inverse_numerator / statistic
  float step_divisor;       // d = statistic / step_divisor
  int min_code;             // clamp bounds of the stored integer code
  int max_code;
  int max_magnitude;  // largest |code| that occurs; bounds int16 widening
  CodeKind kind;
  int storage_bits;  // bits per code when saved for backward or packed
};

inline constexpr std::array<SchemeRow, 8> kSchemes{{
    {Scheme::fp, "fp", "not quantized", Statistic::none, 0.0f, 1.0f, 0, 0, 0, CodeKind::none, 32},
    {Scheme::int8, "int8", "INT8, step max|x|/127", Statistic::absmax, 127.0f, 127.0f, -128, 127, 127,
     CodeKind::integer, 8},
    {Scheme::int4, "int4", "INT4, step mean|x|/sqrt(7)", Statistic::absmean, kSqrt7, kSqrt7, -8, 7, 8,
     CodeKind::integer, 4},
    {Scheme::int4_absmax, "int4-absmax", "INT4, step max|x|/7 (ablation)", Statistic::absmax, 7.0f, 7.0f, -7,
     7, 7, CodeKind::integer, 4},
    {Scheme::int4_absmean2, "int4-absmean2", "INT4, step 2·mean|x|/sqrt(7) (ablation)", Statistic::absmean2,
     kSqrt7, kSqrt7, -8, 7, 8, CodeKind::integer, 4},
    {Scheme::fp4, "fp4", "FP4 E2M1, row maximum at 6; codes are doubled", Statistic::absmax, 6.0f, 12.0f, -12,
     12, 12, CodeKind::fp4_grid, 4},
    {Scheme::fp4_e1m2, "fp4-e1m2", "FP4 E1M2, the levels of INT4 absmax (ablation)", Statistic::absmax, 7.0f,
     7.0f, -7, 7, 7, CodeKind::integer, 4},
    {Scheme::ternary, "ternary", "weights {-1, 0, +1}, scale mean|W| per matrix", Statistic::absmean, 1.0f,
     1.0f, -1, 1, 1, CodeKind::integer, 2},
}};

constexpr const SchemeRow& row_of(Scheme scheme) { return kSchemes[static_cast<std::size_t>(scheme)]; }

static_assert(
    [] {
      for (std::size_t i = 0; i < kSchemes.size(); ++i)
        if (static_cast<std::size_t>(kSchemes[i].scheme) != i) return false;
      return true;
    }(),
    "rows stand in the order of the enum");

/// The codes of cached keys and values, and of queries against them (numerics.md 5.2): unsigned, on a grid
/// without zero; axis: one head of one token; statistic max|x| as fp16. No slot takes them, so they stand
/// apart. Formulas and storage: cache.h.
struct CacheCodeRow {
  int bits;
  const char* name;
  const char* help;
  int max_code;  // L = 2^bits − 1
};

inline constexpr std::array<CacheCodeRow, 2> kCacheCodes{{
    {4, "kv4", "4-bit keys and values, step max|x|/15 per head", 15},
    {3, "kv3", "3-bit keys and values, step max|x|/7 per head", 7},
}};

/// The four activation inputs of a block and the weights: which quantizer each uses. A mode is a preset of
/// these slots.
struct Slots {
  bool ternary_weights = false;
  Scheme qkv = Scheme::fp;
  Scheme o = Scheme::fp;
  Scheme gate_up = Scheme::fp;
  Scheme down = Scheme::fp;
  double topk_keep_o = 1.0;  // kept share of the o input; 1 = off

  bool operator==(const Slots&) const = default;
};

enum class Mode : int { none, a16, a8, a4_8, a4_8_fp4 };

struct ModeRow {
  Mode mode;
  const char* name;
  const char* help;
  Slots slots;
};

inline constexpr std::array<ModeRow, 5> kModes{{
    {Mode::none,
     "none",
     "floating point throughout",
     {false, Scheme::fp, Scheme::fp, Scheme::fp, Scheme::fp, 1.0}},
    {Mode::a16,
     "a16",
     "ternary weights, floating-point activations: the cost of the weights alone",
     {true, Scheme::fp, Scheme::fp, Scheme::fp, Scheme::fp, 1.0}},
    {Mode::a8,
     "a8",
     "stage 1: ternary weights, INT8 inputs",
     {true, Scheme::int8, Scheme::int8, Scheme::int8, Scheme::int8, 1.0}},
    {Mode::a4_8,
     "a4.8",
     "stage 2: INT4 inputs of q, k, v, gate, up; sparse INT8 inputs of o and down",
     {true, Scheme::int4, Scheme::int8, Scheme::int4, Scheme::int8, 0.5}},
    {Mode::a4_8_fp4,
     "a4.8-fp4",
     "stage 2 with FP4 E2M1 in place of INT4, and at o without TopK",
     {true, Scheme::fp4, Scheme::fp4, Scheme::fp4, Scheme::int8, 1.0}},
}};

constexpr const ModeRow& row_of(Mode mode) { return kModes[static_cast<std::size_t>(mode)]; }

}  // namespace a48::quant
