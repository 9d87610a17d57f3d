// A head of each class as a packed file stores it, for tests of the products with it.
#pragma once

#include <cstring>

#include "core/base/buffer.h"
#include "core/kernels/api.h"
#include "core/quant/half.h"
#include "core/quant/pack.h"
#include "core/quant/reference.h"
#include "tests/support/kernel_test.h"

namespace a48::test {

inline std::int64_t up_to(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// A head as a packed file stores it, with rows at multiples of 64 bytes.
class StoredHead {
 public:
  StoredHead(kernels::HeadClass kind, const Matrix<float>& weight) : kind_(kind) {
    const Rows<const float> w = weight.view();
    rows_ = w.rows;
    cols_ = w.cols;
    const std::int64_t groups = quant::head_groups(cols_);
    scale_stride_ = up_to(groups, 32);
    stride_ = kind == kernels::HeadClass::f32    ? up_to(4 * cols_, 64)
              : kind == kernels::HeadClass::bf16 ? up_to(2 * cols_, 64)
              : kind == kernels::HeadClass::i8   ? quant::i8_row_bytes(cols_)
              : kind == kernels::HeadClass::i6   ? quant::i6_row_bytes(cols_)
                                                 : quant::i4_row_bytes(cols_);
    stored_ = Buffer<std::uint8_t>(rows_ * stride_);
    row_scale_ = Buffer<float>(rows_);
    group_scale_ = Buffer<std::uint16_t>(rows_ * scale_stride_);
    const Rows<std::uint8_t> stored(stored_.data(), rows_, stride_);
    const Rows<std::uint16_t> scale(group_scale_.data(), rows_, groups, scale_stride_);
    for (std::int64_t v = 0; v < rows_; ++v) {
      if (kind == kernels::HeadClass::f32)
        std::memcpy(stored.row(v), w.row(v), static_cast<std::size_t>(cols_) * sizeof(float));
      for (std::int64_t k = 0; kind == kernels::HeadClass::bf16 && k < cols_; ++k)
        reinterpret_cast<quant::Bf16*>(stored.row(v))[k] = quant::to_bf16(w.row(v)[k]);
    }
    if (kind == kernels::HeadClass::i8) quant::reference_pack_i8_rows(w, stored, row_scale_.data());
    if (kind == kernels::HeadClass::i6) quant::reference_pack_i6_rows(w, stored, scale);
    if (kind == kernels::HeadClass::i4) quant::reference_pack_i4_rows(w, stored, scale);
  }

  kernels::HeadWeight weight() const {
    return {.kind = kind_,
            .rows = rows_,
            .cols = cols_,
            .stored = {stored_.data(), rows_, stride_},
            .row_scale = row_scale_.data(),
            .group_scale = {group_scale_.data(), rows_, quant::head_groups(cols_), scale_stride_}};
  }
  Buffer<std::uint8_t>& bytes() { return stored_; }

 private:
  kernels::HeadClass kind_;
  std::int64_t rows_, cols_, stride_, scale_stride_;
  Buffer<std::uint8_t> stored_;
  Buffer<float> row_scale_;
  Buffer<std::uint16_t> group_scale_;
};

}  // namespace a48::test
