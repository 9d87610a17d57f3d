// The linear layers of the packed runtime: an input is quantized once, then multiplied with every matrix that
// shares it. One token goes to the decode kernels, which leave out what is zero; several go to the integer
// GEMM. The same bits either way. Next: core/kernels/table.cpp.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/base/buffer.h"
#include "core/base/view.h"
#include "core/kernels/api.h"
#include "core/quant/scheme.h"
#include "core/runtime/sparsity.h"

namespace a48::runtime {

/// Codes of a row of `width`, with the zeros that kernels may read behind them.
constexpr std::int64_t padded_width(std::int64_t width) {
  return (width + kernels::kCodePadding - 1) / kernels::kCodePadding * kernels::kCodePadding;
}

/// How the input of a group of linear layers is quantized.
struct InputSlot {
  quant::Scheme scheme;
  double keep = 1.0;  // kept share of TopK; 1 = off
};

/// Integer codes of up to `rows` rows, zero beyond each row's width; storage grows on demand and is kept.
class QuantizedInput {
 public:
  /// codes, steps and sums of x [R, K]. Returns the first row that holds NaN or infinity, or -1.
  std::int64_t quantize(Rows<const float> x, const InputSlot& slot);
  /// The same of RMSNorm(x) with `gain`, where that is not nullptr.
  std::int64_t quantize_normed(Rows<const float> x, const float* gain, double eps, const InputSlot& slot);

  std::int64_t rows() const { return rows_; }
  std::int64_t width() const { return width_; }
  Rows<const std::int8_t> codes() const { return {codes_.data(), rows_, width_, stride_}; }
  Rows<std::int8_t> codes() { return {codes_.data(), rows_, width_, stride_}; }
  kernels::TokenCodes token(std::int64_t row) const;
  /// Benchmarks: the sums of codes that were written from outside.
  void sum_again();

  /// y_m = x·T_mᵀ·(step·α_m) for all rows.
  void multiply(const kernels::TernaryMatrix& matrix, Rows<float> y) const;

 private:
  void make_room(std::int64_t rows, std::int64_t width, const InputSlot& slot);
  std::int64_t first_non_finite() const;

  std::int64_t rows_ = 0, width_ = 0, stride_ = 0;
  int max_magnitude_ = 127;
  Buffer<std::int8_t> codes_;
  Buffer<float> step_;
  Buffer<std::int32_t> code_sum_;
  Buffer<std::uint8_t> status_;
};

/// Scratch of the one-token products, for matrices of up to `width` inputs or outputs.
class TokenScratch {
 public:
  explicit TokenScratch(std::int64_t width);

  /// o and down: inputs with code 0 are not read. Returns how many were.
  std::int64_t multiply_columns(const QuantizedInput& input, const kernels::TernaryMatrix& matrix, float* y);
  /// up: only where gate > 0, +0 elsewhere. Returns the number of open gates.
  std::int64_t multiply_open_rows(const QuantizedInput& input, const kernels::TernaryMatrix& matrix,
                                  const float* gate, float* y);
  /// The listed rows only, +0 elsewhere.
  void multiply_rows(const QuantizedInput& input, const kernels::TernaryMatrix& matrix,
                     const std::int32_t* row, std::int64_t count, float* y);

 private:
  Buffer<std::int32_t> index_;
  Buffer<std::int32_t> sums_;
  std::int64_t sums_width_;
  int threads_;
};

/// One token with the matrices that share its input (q, k, v; gate), all in one pass.
void multiply_token(const QuantizedInput& input,
                    std::initializer_list<const kernels::TernaryMatrix*> matrices,
                    std::initializer_list<float*> outputs);

}  // namespace a48::runtime
