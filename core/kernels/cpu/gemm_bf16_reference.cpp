// The bf16 product in obvious loops: operands are rounded one by one, a tile's sums are added up pair by
// pair. With instructions: gemm_bf16_avx512_bf16.cpp.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/gemm_bf16.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"

namespace a48::kernels::cpu {
namespace {

std::uint32_t pair_of(float earlier, float later) {
  return quant::to_bf16(earlier).bits | std::uint32_t{quant::to_bf16(later).bits} << 16;
}

float a_at(const GemmBf16& args, std::int64_t m, std::int64_t k) {
  if (!args.a_transposed) return args.a.row(m)[k];
  return args.a_scale != nullptr ? args.a.row(k)[m] * args.a_scale[k] : args.a.row(k)[m];
}

float b_at(const GemmBf16& args, std::int64_t k, std::int64_t n) {
  if (args.b_codes.data != nullptr) return args.b_codes.row(k)[n];
  if (args.b_packed.data == nullptr) return args.b.row(k)[n];
  const int byte = args.b_packed.row(k)[n / 2];
  return static_cast<float>(quant::code_of_nibble(quant::row_of(args.scheme).kind,
                                                  static_cast<std::uint8_t>(byte >> (n % 2 * 4) & 15)));
}

/// Pairs of the inputs for `width` rows or outputs from `first` on, of which there are `last`.
template <typename Value>
void pack(InputRange inputs, std::int64_t first, std::int64_t last, std::int64_t width, std::uint32_t* words,
          Value value) {
  for (std::int64_t k = inputs.begin; k < inputs.end; k += 2)
    for (std::int64_t i = first; i < first + width; ++i)
      *words++ = i >= last ? 0 : pair_of(value(i, k), k + 1 < inputs.end ? value(i, k + 1) : 0.0f);
}

void pack_rows(const GemmBf16& args, InputRange inputs, std::int64_t begin, std::int64_t end,
               std::uint32_t* words) {
  for (std::int64_t b = begin; b < end; ++b, words += kBf16Rows * inputs.pairs())
    pack(inputs, b * kBf16Rows, args.c.rows, kBf16Rows, words,
         [&](std::int64_t m, std::int64_t k) { return a_at(args, m, k); });
}

void pack_outputs(const GemmBf16& args, InputRange inputs, std::int64_t panel, std::uint32_t* words) {
  pack(inputs, panel * kBf16Outputs, args.c.cols, kBf16Outputs, words,
       [&](std::int64_t n, std::int64_t k) { return b_at(args, k, n); });
}

float earlier(std::uint32_t pair) { return quant::widen(quant::Bf16{static_cast<std::uint16_t>(pair)}); }
float later(std::uint32_t pair) { return quant::widen(quant::Bf16{static_cast<std::uint16_t>(pair >> 16)}); }

void multiply(const GemmBf16& args, std::int64_t pairs, const std::uint32_t* rows, std::int64_t begin,
              std::int64_t end, const std::uint32_t* outputs, std::int64_t panel, bool accumulate) {
  for (std::int64_t m = begin * kBf16Rows; m < end * kBf16Rows && m < args.c.rows; ++m) {
    const std::int64_t block = m / kBf16Rows - begin;
    const std::uint32_t* row = rows + block * kBf16Rows * pairs + m % kBf16Rows;
    float sum[kBf16Outputs] = {};
    for (std::int64_t p = 0; p < pairs; ++p) {
      const float row_earlier = earlier(row[p * kBf16Rows]), row_later = later(row[p * kBf16Rows]);
      for (std::int64_t j = 0; j < kBf16Outputs; ++j) {
        const std::uint32_t pair = outputs[p * kBf16Outputs + j];
        sum[j] += row_later * later(pair);
        sum[j] += row_earlier * earlier(pair);
      }
    }
    float* c = args.c.row(m) + panel * kBf16Outputs;
    for (std::int64_t j = 0; j < kBf16Outputs && panel * kBf16Outputs + j < args.c.cols; ++j)
      c[j] = accumulate ? c[j] + args.scale * sum[j] : args.scale * sum[j];
  }
}

}  // namespace

const GemmBf16Kernel gemm_bf16_reference = {pack_rows, pack_outputs, multiply};

}  // namespace a48::kernels::cpu
