// Logits of every class of head against the CPU's reference, all bits.
#include "core/kernels/api.h"
#include "tests/core/kernels/cuda/cuda_test.h"
#include "tests/support/stored_head.h"

namespace a48::test {
namespace {

using kernels::HeadClass;

/// A stored head on the device.
class DeviceHead {
 public:
  explicit DeviceHead(const kernels::HeadWeight& w)
      : weight_(w),
        stored_(w.stored, w.stored.stride),
        row_scale_(Rows<const float>(w.row_scale, 1, w.rows), w.rows),
        group_scale_(w.group_scale, w.group_scale.stride) {
    weight_.stored = stored_.view();
    weight_.row_scale = row_scale_.data();
    weight_.group_scale = group_scale_.view();
  }
  const kernels::HeadWeight& weight() const { return weight_; }

 private:
  kernels::HeadWeight weight_;
  DeviceMatrix<std::uint8_t> stored_;
  DeviceMatrix<float> row_scale_;
  DeviceMatrix<std::uint16_t> group_scale_;
};

void check(HeadClass kind, std::int64_t tokens, std::int64_t vocabulary, std::int64_t width) {
  const StoredHead head(kind, matrix_of(RowKind::gaussian, vocabulary, width, 1));
  const Matrix<float> x = matrix_of(RowKind::gaussian, tokens, width, 2);
  Matrix<float> expected(tokens, vocabulary);
  Matrix<std::int8_t> codes(tokens, width);
  std::vector<float> step(static_cast<std::size_t>(tokens));
  std::vector<std::int32_t> sum(step.size());
  std::vector<std::uint8_t> status(step.size());
  quant::reference_quantize_rows(x.view(), quant::Scheme::int8, 0, codes.view(), step.data(), sum.data(),
                                 status.data());
  {
    const kernels::ScopedLevel reference(IsaLevel::reference);
    Buffer<std::int8_t> scratch(tokens * up_to(width, kernels::kCodePadding));
    kernels::packed_head_rows({.x = x.view(),
                               .weight = head.weight(),
                               .codes = {scratch.data(), tokens, up_to(width, kernels::kCodePadding)},
                               .logits = expected.view()});
  }
  INFO("class " << static_cast<int>(kind) << ", tokens " << tokens << ", vocabulary " << vocabulary
                << ", width " << width);
  on_every_order([&] {
    const DeviceHead device(head.weight());
    const DeviceMatrix<float> rows(x.view(), up_to(width, 4), 1e9f);
    const DeviceMatrix<std::int8_t> quantized(codes.view(), cuda::code_row_bytes(width));
    const DeviceMatrix<float> steps = device_vector(step);
    DeviceMatrix<float> logits(tokens, vocabulary, vocabulary);
    cuda::table_cuda().packed_head_rows({.weight = device.weight(),
                                         .x = rows.view(),
                                         .codes = quantized.view(),
                                         .step = steps.view().data,
                                         .logits = logits.view()},
                                        nullptr);
    CHECK(rows_difference<float>(logits, expected.view()) == "");
  });
}

}  // namespace

TEST_CASE(
    "X3: logits of every class of head equal the reference, odd widths and vocabularies, 1 to 9 tokens") {
  for (const HeadClass kind :
       {HeadClass::f32, HeadClass::bf16, HeadClass::i8, HeadClass::i6, HeadClass::i4}) {
    for (const std::int64_t width : {1, 31, 64, 100, 129, 257, 384}) check(kind, 1, 131, width);
    check(kind, 2, 61, 48);
    check(kind, 4, 300, 160);
    check(kind, 9, 33, 250);
  }
}

}  // namespace a48::test
