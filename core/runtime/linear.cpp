// Which kernel a product takes: gemv_ternary* for one token, gemm_ternary for several. Next:
// core/kernels/table.cpp.
#include "core/runtime/linear.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/quant/topk.h"

namespace a48::runtime {
namespace {

template <typename T>
void grow(Buffer<T>& buffer, std::int64_t size) {
  if (buffer.size() >= size) return;
  buffer = Buffer<T>();  // give back before taking more
  buffer = Buffer<T>(size);
}

/// Of TopK; 0 = no mask.
std::int64_t survivors(const InputSlot& slot, std::int64_t width) {
  return slot.keep < 1.0 ? quant::topk_count(slot.keep, width) : 0;
}

constexpr int kMostShared = 3;  // q, k, v

}  // namespace

void QuantizedInput::make_room(std::int64_t rows, std::int64_t width, const InputSlot& slot) {
  const std::int64_t stride = padded_width(width);
  grow(codes_, rows * stride);
  if (width_ != width && codes_.size() > 0)  // the padding of another width may hold codes
    std::memset(codes_.data(), 0, static_cast<std::size_t>(codes_.size()));
  rows_ = rows;
  width_ = width;
  stride_ = stride;
  max_magnitude_ = quant::row_of(slot.scheme).max_magnitude;
  grow(step_, rows_);
  grow(code_sum_, rows_);
  grow(status_, rows_);
}

std::int64_t QuantizedInput::first_non_finite() const {
  const std::uint8_t* const end = status_.data() + rows_;
  const std::uint8_t* const bad = std::find(status_.data(), end, kernels::kRowNonFinite);
  return bad == end ? -1 : bad - status_.data();
}

std::int64_t QuantizedInput::quantize(Rows<const float> x, const InputSlot& slot) {
  make_room(x.rows, x.cols, slot);
  kernels::quantize_rows({.x = x,
                          .scheme = slot.scheme,
                          .keep = survivors(slot, x.cols),
                          .codes = codes(),
                          .step = step_.data(),
                          .code_sum = code_sum_.data(),
                          .status = status_.data()});
  return first_non_finite();
}

std::int64_t QuantizedInput::quantize_normed(Rows<const float> x, const float* gain, double eps,
                                             const InputSlot& slot) {
  if (gain == nullptr) return quantize(x, slot);
  make_room(x.rows, x.cols, slot);
  kernels::norm_quantize_rows({.x = x,
                               .gain = gain,
                               .eps = eps,
                               .scheme = slot.scheme,
                               .keep = survivors(slot, x.cols),
                               .codes = codes(),
                               .step = step_.data(),
                               .code_sum = code_sum_.data(),
                               .status = status_.data()});
  return first_non_finite();
}

kernels::TokenCodes QuantizedInput::token(std::int64_t row) const {
  return {codes().row(row), max_magnitude_, step_[row], code_sum_[row]};
}

void QuantizedInput::sum_again() {
  for (std::int64_t r = 0; r < rows_; ++r) {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < width_; ++k) sum += codes().row(r)[k];
    code_sum_[r] = sum;
  }
}

void QuantizedInput::multiply(const kernels::TernaryMatrix& matrix, Rows<float> y) const {
  kernels::gemm_ternary({.codes = codes(),
                         .max_magnitude = max_magnitude_,
                         .step = step_.data(),
                         .code_sum = code_sum_.data(),
                         .weight = {},
                         .alpha = 0.0f,
                         .y = y,
                         .packed = &matrix});
}

TokenScratch::TokenScratch(std::int64_t width)
    : index_(width + 8), sums_width_(padded_width(width)), threads_(thread_count()) {
  sums_ = Buffer<std::int32_t>(threads_ * sums_width_);
}

std::int64_t TokenScratch::multiply_columns(const QuantizedInput& input, const kernels::TernaryMatrix& matrix,
                                            float* y) {
  A48_ASSERT(matrix.layout == quant::TernaryLayout::t2_col);
  if (threads_ < thread_count()) {
    threads_ = thread_count();
    sums_ = Buffer<std::int32_t>(threads_ * sums_width_);
  }
  return kernels::gemv_ternary_columns({.input = input.token(0),
                                        .matrix = matrix,
                                        .column = index_.data(),
                                        .sums = {sums_.data(), threads_, sums_width_},
                                        .y = y});
}

std::int64_t TokenScratch::multiply_open_rows(const QuantizedInput& input,
                                              const kernels::TernaryMatrix& matrix, const float* gate,
                                              float* y) {
  const std::int64_t open = kernels::list_positive(gate, matrix.rows, index_.data());
  multiply_rows(input, matrix, index_.data(), open, y);
  return open;
}

void TokenScratch::multiply_rows(const QuantizedInput& input, const kernels::TernaryMatrix& matrix,
                                 const std::int32_t* row, std::int64_t count, float* y) {
  A48_ASSERT(matrix.layout == quant::TernaryLayout::t2_row);
  std::fill(y, y + matrix.rows, 0.0f);
  kernels::gemv_ternary_rows({.input = input.token(0), .matrix = matrix, .row = row, .count = count, .y = y});
}

void multiply_token(const QuantizedInput& input,
                    std::initializer_list<const kernels::TernaryMatrix*> matrices,
                    std::initializer_list<float*> outputs) {
  kernels::TernaryMatrix matrix[kMostShared];
  float* y[kMostShared];
  A48_ASSERT(matrices.size() == outputs.size() && matrices.size() <= kMostShared, matrices.size());
  int count = 0;
  for (const kernels::TernaryMatrix* m : matrices) matrix[count++] = *m;
  std::copy(outputs.begin(), outputs.end(), y);
  kernels::gemv_ternary({.input = input.token(0), .matrix = matrix, .y = y, .matrices = count});
}

}  // namespace a48::runtime
