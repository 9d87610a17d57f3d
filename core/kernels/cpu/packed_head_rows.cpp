// Logits of a packed head in plain C++. i8: one integer sum a row. i6, i4: eight sums a group of 32 inputs,
// scaled and added in fp32. The same in instructions: packed_head_rows_groups.h, packed_head_rows_avx2.cpp,
// packed_head_rows_avx512.cpp.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_portable.h"

namespace a48::kernels::cpu {
namespace {

template <int kTokens>
void row_scaled(const HeadProduct&, std::int64_t token, std::int64_t begin, std::int64_t end);
template <HeadClass kClass, int kTokens>
void group_scaled(const HeadProduct&, std::int64_t token, std::int64_t begin, std::int64_t end);

}  // namespace
}  // namespace a48::kernels::cpu

// Uses the Vector and the products above.
#include "core/kernels/cpu/packed_head_rows_body.h"

namespace a48::kernels::cpu {
namespace {

template <int kTokens>
void row_scaled(const HeadProduct& a, std::int64_t token, std::int64_t begin, std::int64_t end) {
  for (std::int64_t v = begin; v < end; ++v) {
    const auto* weight = reinterpret_cast<const std::int8_t*>(a.weight.stored.row(v));
    for (std::int64_t r = token; r < token + kTokens; ++r) {
      const std::int8_t* codes = a.codes.row(r);
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < a.weight.cols; ++k) sum += codes[k] * weight[k];
      a.logits.row(r)[v] = static_cast<float>(sum) * (a.step[r] * a.weight.row_scale[v]);
    }
  }
}

/// The 32 codes q of a group.
template <HeadClass kClass>
void unpack_group(const std::uint8_t* row, std::int64_t group, std::int8_t (&q)[quant::kHeadGroup]) {
  constexpr bool kFour = kClass == HeadClass::i4;
  const std::uint8_t* low = kFour ? row + group / 2 * 32 : row + group / 4 * 96 + group % 4 / 2 * 32;
  const std::uint8_t* high = row + group / 4 * 96 + 64;
  const int low_shift = static_cast<int>(group % 2) * 4, high_shift = static_cast<int>(group % 4) * 2;
  for (int i = 0; i < quant::kHeadGroup; ++i) {
    const int nibble = low[i] >> low_shift & 15;
    q[i] = static_cast<std::int8_t>(kFour ? nibble - 8 : (nibble | (high[i] >> high_shift & 3) << 4) - 32);
  }
}

template <HeadClass kClass, int kTokens>
void group_scaled(const HeadProduct& a, std::int64_t token, std::int64_t begin, std::int64_t end) {
  const std::int64_t groups = quant::head_groups(a.weight.cols);
  for (std::int64_t v = begin; v < end; ++v) {
    Vector lanes[kTokens];
    for (Vector& one : lanes) one = Vector::zero();
    for (std::int64_t g = 0; g < groups; ++g) {
      std::int8_t q[quant::kHeadGroup];
      unpack_group<kClass>(a.weight.stored.row(v), g, q);
      const float scale = quant::widen(quant::F16{a.weight.group_scale.row(v)[g]});
      for (int t = 0; t < kTokens; ++t) {
        const std::int8_t* codes = a.codes.row(token + t) + g * quant::kHeadGroup;
        Vector sums;
        for (int l = 0; l < Vector::kWidth; ++l) {
          std::int32_t sum = 0;
          for (int i = 4 * l; i < 4 * l + 4; ++i) sum += codes[i] * q[i];
          sums.v[l] = static_cast<float>(sum);
        }
        lanes[t] = multiply_add(sums, Vector::broadcast(scale), lanes[t]);
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      for (int half = Vector::kWidth / 2; half > 0; half /= 2) {
        for (int l = 0; l < half; ++l) lanes[t].v[l] += lanes[t].v[l + half];
      }
      a.logits.row(token + t)[v] = lanes[t].v[0] * a.step[token + t];
    }
  }
}

}  // namespace

void packed_head_rows_portable(const HeadProduct& args, std::int64_t begin, std::int64_t end) {
  packed_head_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
