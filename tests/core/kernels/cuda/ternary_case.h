// A ternary product for the tests of gemm, gemv and scale_rows: codes, weights of one to three fused
// matrices, and what the reference says.
#pragma once

#include "core/quant/math.h"
#include "core/quant/reference.h"
#include "tests/core/kernels/cuda/cuda_test.h"

namespace a48::test {

/// Reproducible codes in −magnitude … magnitude.
inline Matrix<std::int8_t> random_codes(std::int64_t rows, std::int64_t cols, int magnitude,
                                        std::uint64_t stream) {
  Matrix<std::int8_t> codes(rows, cols);
  const std::uint64_t choices = static_cast<std::uint64_t>(2 * magnitude + 1);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k) {
      const std::uint64_t bits =
          random_bits(seed() + static_cast<std::uint64_t>(r), stream, static_cast<std::uint64_t>(k));
      codes.row(r)[k] = static_cast<std::int8_t>(static_cast<int>(bits % choices) - magnitude);
    }
  return codes;
}

struct TernaryCase {
  Matrix<std::int8_t> codes, weight;  // [R, K], [N, K]
  std::vector<std::int64_t> end;      // of the fused matrices
  std::vector<float> alpha, step;
  std::vector<std::int32_t> code_sum;

  TernaryCase(Matrix<std::int8_t> codes_, Matrix<std::int8_t> weight_, int matrices)
      : codes(std::move(codes_)), weight(std::move(weight_)) {
    for (int m = 0; m < matrices; ++m) {
      end.push_back(m + 1 < matrices ? (m + 1) * outputs() / (matrices + 1) + 1 : outputs());
      alpha.push_back(0.0371f + 0.01f * static_cast<float>(m));
    }
    for (std::int64_t r = 0; r < rows(); ++r) {
      step.push_back(0.01f + 0.003f * static_cast<float>(r % 7));
      code_sum.push_back(0);
      for (std::int64_t k = 0; k < inputs(); ++k) code_sum.back() += codes.row(r)[k];
    }
  }
  TernaryCase(std::int64_t rows, std::int64_t inputs, std::int64_t outputs, int magnitude, int matrices)
      : TernaryCase(random_codes(rows, inputs, magnitude, 1), random_codes(outputs, inputs, 1, 2), matrices) {
  }

  std::int64_t rows() const { return codes.view().rows; }
  std::int64_t inputs() const { return codes.view().cols; }
  std::int64_t outputs() const { return weight.view().rows; }

  Matrix<float> expected() const {
    Matrix<float> y(rows(), outputs());
    std::int64_t begin = 0;
    for (std::size_t m = 0; m < end.size(); ++m) {
      const Rows<const std::int8_t> w = weight.view();
      const Rows<float> all = y.view();
      quant::reference_gemm_ternary(codes.view(), step.data(),
                                    {w.row(begin), end[m] - begin, w.cols, w.stride}, alpha[m],
                                    {all.data + begin, all.rows, end[m] - begin, all.stride});
      begin = end[m];
    }
    return y;
  }
};

/// A case on the device, weights as int8 rows and as words. The words are packed by formula here, the rows
/// padded with what a kernel must not use.
class DeviceTernaryCase {
 public:
  explicit DeviceTernaryCase(const TernaryCase& c)
      : case_(c),
        codes_(c.codes.view(), cuda::code_row_bytes(c.inputs()) + 64),
        weight_(c.weight.view(), cuda::code_row_bytes(c.inputs())),
        words_(c.outputs(), cuda::ternary_row_words(c.inputs()), cuda::ternary_row_words(c.inputs()) + 16),
        step_(device_vector(c.step)),
        alpha_(device_vector(c.alpha)),
        code_sum_(device_vector(c.code_sum)) {
    Matrix<std::uint32_t> words(c.outputs(), words_.view().cols);
    for (std::int64_t n = 0; n < c.outputs(); ++n) {
      std::fill_n(words.row(n), words_.view().cols, cuda::kEmptyTernaryWord);
      for (std::int64_t k = 0; k < c.inputs(); ++k)  // the word is Σ (t + 1)·2^shift = empty + Σ t·2^shift
        words.row(n)[k / cuda::kWordInputs] +=
            static_cast<std::uint32_t>(c.weight.row(n)[k])
            << cuda::ternary_shift(static_cast<int>(k % cuda::kWordInputs));
    }
    words_ = DeviceMatrix<std::uint32_t>(words.view(), words_.view().stride);
  }

  cuda::TernaryOperand operand(bool packed) const {
    cuda::TernaryOperand operand;
    operand.outputs = case_.outputs();
    operand.inputs = case_.inputs();
    if (packed) {
      operand.words = words_.view();
    } else {
      operand.codes = weight_.view();
    }
    operand.matrices = static_cast<int>(case_.end.size());
    for (std::size_t m = 0; m < case_.end.size(); ++m) {
      operand.end[m] = case_.end[m];
      operand.alpha[m] = alpha_.view().data + m;
    }
    return operand;
  }
  cuda::GemmArgs gemm(bool packed, cuda::FloatRows y) const {
    cuda::GemmArgs args;
    args.codes = codes_.view();
    args.step = step_.view().data;
    args.code_sum = packed ? code_sum_.view().data : nullptr;
    args.weight = operand(packed);
    args.y = y;
    return args;
  }
  const float* step() const { return step_.view().data; }
  const std::int32_t* code_sum() const { return code_sum_.view().data; }
  const std::int8_t* codes() const { return codes_.view().data; }

 private:
  const TernaryCase& case_;
  DeviceMatrix<std::int8_t> codes_, weight_;
  DeviceMatrix<std::uint32_t> words_;
  DeviceMatrix<float> step_, alpha_;
  DeviceMatrix<std::int32_t> code_sum_;
};

/// The rows as bf16.
inline Matrix<quant::Bf16> rounded(const Matrix<float>& x) {
  Matrix<quant::Bf16> narrow(x.view().rows, x.view().cols);
  for (std::int64_t r = 0; r < x.view().rows; ++r)
    for (std::int64_t k = 0; k < x.view().cols; ++k) narrow.row(r)[k] = quant::to_bf16(x.row(r)[k]);
  return narrow;
}

}  // namespace a48::test
