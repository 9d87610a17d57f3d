// The head and its loss: derivatives, agreement of the two implementations, targets out of range.
#include "core/ops/head.h"

#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

at::Tensor loss_in_double(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& target) {
  return -x.matmul(weight.t()).log_softmax(-1).gather(1, target.unsqueeze(1)).sum();
}

}  // namespace

TEST_CASE("the exact head has the exact derivative") {
  const auto errors = gradient_errors([](const auto& in) { return ops::exact_head(in[0], in[1]); },
                                      [](const auto& in) { return in[0].matmul(in[1].t()); },
                                      {normal({2, 3, 5}, 1), normal({7, 5}, 2)});
  for (const double error : errors) CHECK(error < gradient_tolerance(7));
}

TEST_CASE("the loss of the head has the exact derivative, scaled by what follows it") {
  const at::Tensor target = torch::tensor({3, 0, 6, 6}, torch::kLong);
  const auto errors =
      gradient_errors([&](const auto& in) { return ops::head_loss_sum(in[0], in[1], target) / 4.0; },
                      [&](const auto& in) { return loss_in_double(in[0], in[1], target) / 4.0; },
                      {normal({4, 5}, 3), normal({7, 5}, 4)});
  for (const double error : errors) CHECK(error < gradient_tolerance(7));
}

TEST_CASE("the loss in chunks of rows equals the loss at once, in value and gradients") {
  const std::int64_t rows = 70, vocab = 40000;  // a chunk holds 32 rows of this vocabulary
  const at::Tensor x = normal({rows, 8}, 5).requires_grad_(), weight = normal({vocab, 8}, 6).requires_grad_();
  const at::Tensor target = torch::arange(rows, torch::kLong) * 13;
  const at::Tensor wanted_x = x.detach().to(torch::kDouble).requires_grad_();
  const at::Tensor wanted_weight = weight.detach().to(torch::kDouble).requires_grad_();
  const at::Tensor wanted = loss_in_double(wanted_x, wanted_weight, target);
  wanted.backward();
  const at::Tensor loss = ops::head_loss_sum(x, weight, target);
  loss.backward();
  CHECK(relative_error(loss, wanted) < gradient_tolerance(8));
  CHECK(relative_error(x.grad(), wanted_x.grad()) < dot_tolerance(vocab, 1.0));  // sums over the vocabulary
  CHECK(relative_error(weight.grad(), wanted_weight.grad()) < gradient_tolerance(8));
  const at::NoGradGuard no_grad;
  CHECK(same_bits(ops::head_loss_sum(x, weight, target), loss.detach()));
}

TEST_CASE("check 14: the head's backward in bf16 stays within its two roundings, sums in fp32") {
  const std::int64_t rows = 70, vocab = 40000;  // three chunks of rows
  const at::Tensor target = torch::arange(rows, torch::kLong) * 13;
  const at::Tensor x = normal({rows, 8}, 9), weight = normal({vocab, 8}, 10);
  const auto check = [&](const auto& loss_of) {
    const at::Tensor a = x.clone().requires_grad_(), b = weight.clone().requires_grad_();
    loss_of(a, b).backward();
    const at::Tensor hidden = x.to(torch::kDouble), table = weight.to(torch::kDouble);
    const at::Tensor p = hidden.mm(table.t()).softmax(1);
    const at::Tensor dlogits =
        p.scatter_add(1, target.unsqueeze(1), torch::full({rows, 1}, -1.0, torch::kDouble));
    // Both operands are rounded: 2u + u² for the u of bf16. Few of the logits' fp32 errors turn a rounding.
    const auto bound = [](std::int64_t terms) {
      return dot_tolerance(terms, 1.0, true) + kUnitRoundoffBf16 * kUnitRoundoffBf16;
    };
    const auto within = [](const at::Tensor& found, const at::Tensor& wanted, const at::Tensor& allowed) {
      return ((found.to(torch::kDouble) - wanted).abs() <= allowed).all().template item<bool>();
    };
    CHECK(within(a.grad(), dlogits.mm(table), bound(vocab) * dlogits.abs().mm(table.abs())));
    CHECK(within(b.grad(), dlogits.t().mm(hidden), bound(rows) * dlogits.abs().t().mm(hidden.abs())));
    CHECK(relative_error(b.grad(), dlogits.t().mm(hidden)) > kUnitRoundoff);  // it is not the fp32 path
  };
  check([&](const at::Tensor& a, const at::Tensor& b) {
    return ops::head_loss_sum(a, b, target, ops::BackwardDtype::bf16);
  });
  check([&](const at::Tensor& a, const at::Tensor& b) {
    return -ops::exact_head(a, b, ops::BackwardDtype::bf16)
                .log_softmax(1)
                .gather(1, target.unsqueeze(1))
                .sum();
  });
}

TEST_CASE("check 25: the gemm head differs from the exact head by relative L2 <= 1e-5") {
  constexpr double kSpecified = 1e-5;
  const at::Tensor x = normal({50, 384}, 7), weight = normal({300, 384}, 8);
  const at::Tensor exact = ops::exact_head(x, weight);
  CHECK(relative_error(at::linear(x, weight), exact) < kSpecified);
  CHECK(same_bits(ops::exact_head(x.narrow(0, 9, 1), weight)[0], exact[9]));
}

TEST_CASE("targets outside the vocabulary are refused with their row") {
  CHECK_ERROR(ops::head_loss_sum(normal({2, 3}, 1), normal({4, 3}, 2), torch::tensor({1, 4}, torch::kLong)),
              ErrorKind::bad_input, "4", "row 1", "0 to 3");
}

}  // namespace a48::test
