// The head product of each class as formats.md 9 words it. Where a code lies: core/quant/pack.h.
#include <cmath>
#include <vector>

#include "core/base/fmath.h"
#include "core/kernels/cpu/entries.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

constexpr int kSums = 8;  // lanes of a grouped product, of four inputs of a group each

float float_product(const HeadProduct& a, std::int64_t r, std::int64_t v) {
  std::vector<float> weight(static_cast<std::size_t>(a.weight.cols));
  widen_row(a.weight, v, weight.data());
  return lane_dot(a.x.row(r), weight.data(), a.weight.cols);
}

float row_scaled_product(const HeadProduct& a, std::int64_t r, std::int64_t v) {
  const auto* weight = reinterpret_cast<const std::int8_t*>(a.weight.stored.row(v));
  std::int32_t sum = 0;
  for (std::int64_t k = 0; k < a.weight.cols; ++k) sum += a.codes.row(r)[k] * weight[k];
  return static_cast<float>(sum) * (a.step[r] * a.weight.row_scale[v]);
}

float group_scaled_product(const HeadProduct& a, std::int64_t r, std::int64_t v) {
  const std::uint8_t* weight = a.weight.stored.row(v);
  float lane[kSums] = {};
  for (std::int64_t group = 0; group < quant::head_groups(a.weight.cols); ++group) {
    const float scale = quant::widen(quant::F16{a.weight.group_scale.row(v)[group]});
    for (int l = 0; l < kSums; ++l) {
      std::int32_t sum = 0;
      for (std::int64_t i = 4 * l; i < 4 * l + 4; ++i) {
        const std::int64_t k = group * quant::kHeadGroup + i;
        if (k >= a.weight.cols) break;
        sum += a.codes.row(r)[k] *
               (a.weight.kind == HeadClass::i4 ? quant::i4_at(weight, k) : quant::i6_at(weight, k));
      }
      lane[l] = std::fma(static_cast<float>(sum), scale, lane[l]);
    }
  }
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0] * a.step[r];
}

}  // namespace

void packed_head_rows_reference(const HeadProduct& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = 0; r < a.logits.rows; ++r) {
    for (std::int64_t v = begin; v < end; ++v) {
      float& logit = a.logits.row(r)[v];
      switch (a.weight.kind) {
        case HeadClass::f32:
        case HeadClass::bf16:
          logit = float_product(a, r, v);
          break;
        case HeadClass::i8:
          logit = row_scaled_product(a, r, v);
          break;
        case HeadClass::i6:
        case HeadClass::i4:
          logit = group_scaled_product(a, r, v);
          break;
      }
    }
  }
}

}  // namespace a48::kernels::cpu
