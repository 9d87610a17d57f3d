// Products of backward in both dtypes against products in double of the operands that the dtype takes, and
// for 1 to 4 threads.
#include "core/ops/backward_product.h"

#include "core/base/parallel.h"
#include "core/kernels/api.h"
#include "core/ops/bridge.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

using ops::BackwardDtype;
using quant::Scheme;

at::Tensor codes(std::int64_t rows, std::int64_t cols, Scheme scheme) {
  const quant::SchemeRow& row = quant::row_of(scheme);
  return normal({rows, cols}, 51)
      .mul_(row.max_code)
      .round_()
      .clamp_(row.min_code, row.max_code)
      .to(torch::kChar);
}

at::Tensor packed(const at::Tensor& codes, Scheme scheme) {
  at::Tensor bytes = ops::empty_matrix(codes.size(0), (codes.size(1) + 1) / 2, torch::kByte);
  kernels::pack4_rows({scheme, ops::rows_of<const std::int8_t>(codes), ops::rows_of<std::uint8_t>(bytes)});
  return bytes;
}

}  // namespace

TEST_CASE("check 14: products of backward equal those in double of their operands, for 1 to 4 threads") {
  struct Sizes {
    std::int64_t rows, inputs, outputs;
  };
  constexpr double kScale = 0.37;
  for (const auto [rows, inputs, outputs] : {Sizes{1, 1, 1}, Sizes{5, 37, 19}, Sizes{301, 1101, 135}}) {
    const at::Tensor a = normal({rows, inputs}, 41), step = normal({inputs, 1}, 42).abs();
    const at::Tensor b = normal({inputs, outputs}, 43), before = normal({rows, outputs}, 44);
    const at::Tensor t = codes(inputs, outputs, Scheme::ternary), q = codes(inputs, outputs, Scheme::int4);
    struct Case {
      ops::LeftOperand a;
      at::Tensor left;
      ops::RightOperand b;
      at::Tensor right;
    };
    const std::vector<Case> cases{
        {{a}, a, {t, Scheme::ternary, outputs}, t},
        {{a.t().contiguous(), true, step}, (a.t() * step).t(), {q, Scheme::int8, outputs}, q},
        {{a.t().contiguous(), true, step},
         (a.t() * step).t(),
         {packed(q, Scheme::int4), Scheme::int4, outputs},
         q},
        {{a.t().contiguous(), true}, a, {b}, b},
    };
    for (const Case& c : cases) {
      for (const bool accumulate : {false, true}) {
        for (const BackwardDtype dtype : {BackwardDtype::fp32, BackwardDtype::bf16}) {
          INFO(rows << " x " << inputs << " x " << outputs << ", " << quant::row_of(c.b.scheme).name);
          const auto operand = [&](const at::Tensor& x) {
            return (dtype == BackwardDtype::bf16 ? x.to(torch::kBFloat16) : x).to(torch::kDouble);
          };
          const at::Tensor left = operand(c.left), right = operand(c.right);
          at::Tensor wanted = left.mm(right) * kScale, size = left.abs().mm(right.abs()) * kScale;
          if (accumulate) wanted += before, size += before.abs();
          at::Tensor first;
          for (int threads = 1; threads <= 4; ++threads) {
            set_thread_count(threads);
            at::Tensor found = before.clone();
            ops::add_product(found, c.a, c.b, kScale, accumulate, dtype);
            if (threads == 1) {
              first = found;
              const at::Tensor error = (found.to(torch::kDouble) - wanted).abs();
              CHECK((error <= bf16_product_tolerance(inputs + 1, kernels::kBf16Inputs, 1.0) * size)
                        .all()
                        .item<bool>());
            } else if (dtype == BackwardDtype::bf16) {
              CHECK(same_bits(found, first));
            }
          }
          set_thread_count(0);
        }
      }
    }
  }
}

}  // namespace a48::test
