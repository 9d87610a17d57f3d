// fake_quant and topk: the values of the quantizers, and the straight-through rule as it is stated
// (numerics.md 2.3).
#include "core/ops/fake_quant.h"

#include "core/ops/topk.h"
#include "core/quant/math.h"
#include "core/quant/topk.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {

TEST_CASE("fake_quant is code times step; its gradient is the identity, clipped entries included") {
  for (const quant::Scheme scheme : kActivationSchemes) {
    at::Tensor x = normal({3, 2, 33}, 1);
    x[0][0][0] = 30.0;
    x.requires_grad_();
    const at::Tensor y = ops::fake_quant(x, scheme);
    const ops::Codes codes = ops::encode(x, scheme);
    CHECK(same_bits(y, codes.codes.to(torch::kFloat) * codes.step));
    const at::Tensor dy = normal({3, 2, 33}, 2);
    y.backward(dy);
    CHECK(same_bits(x.grad(), dy));
  }
}

TEST_CASE("check 3: INT4 of a row of ones is 3/√7 everywhere") {
  const at::Tensor y = ops::fake_quant(torch::ones({1, 64}), quant::Scheme::int4);
  const quant::SchemeRow& row = quant::row_of(quant::Scheme::int4);
  CHECK(torch::equal(y, torch::full({1, 64}, quant::decode(3, quant::step_of(row, 1.0f)))));
  CHECK(y[0][0].item<double>() == Approx(3.0 / std::sqrt(7.0)).epsilon(chain_tolerance(3, 1.0)));
}

TEST_CASE("check 11: topk keeps exactly k entries; its gradient is the identity, dropped entries included") {
  for (const double keep : {0.1, 0.25, 0.5, 0.55, 0.75, 1.0}) {
    for (const std::int64_t width : {1, 3, 64, 816}) {
      const at::Tensor x = normal({4, width}, 3).requires_grad_();
      const auto [y, mask] = ops::topk(x, keep);
      CHECK((mask.sum(-1) == static_cast<double>(quant::topk_count(keep, width))).all().item<bool>());
      CHECK(same_bits(y, x * mask));
      const at::Tensor dy = normal({4, width}, 4);
      y.backward(dy);
      CHECK(same_bits(x.grad(), dy));
    }
  }
  const auto [equal, mask] = ops::topk(torch::ones({1, 6}), 0.5);
  CHECK(torch::equal(mask, torch::tensor({{1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 0.0f}})));
  CHECK_ERROR(ops::topk(torch::ones({1, 6}), 0.0), ErrorKind::config, "0 < k <= 1");
}

TEST_CASE("the ternary quantizer has one step for the whole matrix") {
  const at::Tensor w = normal({7, 9}, 5);
  const ops::Codes codes = ops::encode(w, quant::Scheme::ternary);
  CHECK(codes.step.numel() == 1);
  CHECK(codes.step.item<double>() ==
        Approx(w.to(torch::kDouble).abs().mean().item<double>()).epsilon(chain_tolerance(1, 1.0)));
  CHECK(codes.codes.abs().max().item<int>() == 1);
}

}  // namespace a48::test
