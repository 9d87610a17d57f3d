// BitLinear against its definition: codes of the reference, products in double, the stated straight-through
// rule.
#include "core/ops/bit_linear.h"

#include <cmath>

#include "core/kernels/api.h"
#include "core/ops/fake_quant.h"
#include "core/ops/status.h"
#include "core/quant/reference.h"
#include "core/quant/topk.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

constexpr std::int64_t kRows = 5, kInputs = 37;
constexpr double kSpecified = 1e-5;  // numerics.md 9, checks 13 and 14: relative to the norm

struct Case {
  quant::Scheme scheme;
  double keep;
};
const std::vector<Case> kCases{{quant::Scheme::int8, 1.0},        {quant::Scheme::int8, 0.5},
                               {quant::Scheme::int4, 1.0},        {quant::Scheme::fp4, 1.0},
                               {quant::Scheme::int4_absmax, 1.0}, {quant::Scheme::fp4_e1m2, 1.0},
                               {quant::Scheme::int4, 0.3},        {quant::Scheme::int4_absmean2, 1.0}};

/// Q [R, K] and d [R, 1] in double, by the reference loops.
std::pair<at::Tensor, at::Tensor> reference_codes(const at::Tensor& x, const Case& how) {
  const std::int64_t rows = x.size(0), width = x.size(1);
  at::Tensor codes = torch::empty({rows, width}, torch::kChar), step = torch::empty({rows, 1});
  std::vector<std::int32_t> sums(static_cast<std::size_t>(rows));
  std::vector<std::uint8_t> status(static_cast<std::size_t>(rows));
  quant::reference_quantize_rows(
      {x.data_ptr<float>(), rows, width}, how.scheme, how.keep < 1.0 ? quant::topk_count(how.keep, width) : 0,
      {codes.data_ptr<std::int8_t>(), rows, width}, step.data_ptr<float>(), sums.data(), status.data());
  return {codes.to(torch::kDouble), step.to(torch::kDouble)};
}

std::vector<ops::LinearWeight> weights_of(const std::vector<at::Tensor>& masters) {
  std::vector<ops::LinearWeight> weights;
  for (const at::Tensor& master : masters) weights.push_back({master, ops::ternarize(master), "w"});
  return weights;
}

/// The largest ‖a − b‖ / ‖b‖ of a row.
double largest_row_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(torch::kDouble) - b).norm(2, {1}) / b.norm(2, {1})).max().item<double>();
}

at::Tensor weight_in_double(const ops::TernaryWeight& weight) {
  return weight.codes.to(torch::kDouble) * static_cast<double>(weight.alpha);
}

}  // namespace

TEST_CASE(
    "check 13: BitLinear equals dequantise-then-multiply in every slot type, with and without gradients") {
  const at::Tensor x = normal({kRows, kInputs}, 1);
  const std::vector<at::Tensor> masters{normal({8, kInputs}, 2), normal({3, kInputs}, 3)};
  for (const Case& how : kCases) {
    INFO(quant::row_of(how.scheme).name << " keep " << how.keep);
    const auto weights = weights_of(masters);
    const auto [q, d] = reference_codes(x, how);
    const auto plain = ops::bit_linear(x, weights, {how.scheme, how.keep});
    const auto tracked =
        ops::bit_linear(x.detach().clone().requires_grad_(), weights, {how.scheme, how.keep});
    for (std::size_t i = 0; i < masters.size(); ++i) {
      const at::Tensor wanted = (q * d).mm(weight_in_double(weights[i].ternary).t());
      CHECK(largest_row_error(plain[i], wanted) < kSpecified);
      CHECK(same_bits(plain[i], tracked[i]));
    }
  }
}

TEST_CASE("check 14, check 15: dX = α·(dY·T) at dropped and clipped entries too, dW = (d ⊙ dY)ᵀ·Q") {
  at::Tensor x = normal({kRows, kInputs}, 4);
  x[0][3] = 40.0;  // far beyond the INT4 range
  for (const Case& how : kCases) {
    INFO(quant::row_of(how.scheme).name << " keep " << how.keep);
    std::vector<at::Tensor> masters{normal({8, kInputs}, 5).requires_grad_(),
                                    normal({8, kInputs}, 6).requires_grad_(),
                                    normal({4, kInputs}, 7).requires_grad_()};
    const at::Tensor input = x.detach().clone().requires_grad_();
    const auto weights = weights_of(masters);
    const auto outputs = ops::bit_linear(input, weights, {how.scheme, how.keep});
    const auto [q, d] = reference_codes(x, how);

    at::Tensor loss = torch::zeros({}), dx = torch::zeros({kRows, kInputs}, torch::kDouble);
    std::vector<at::Tensor> dw;
    for (std::size_t i = 0; i < masters.size(); ++i) {
      const at::Tensor dy = normal(outputs[i].sizes().vec(), 20 + i);
      loss = loss + (outputs[i] * dy).sum();
      dx += dy.to(torch::kDouble).mm(weight_in_double(weights[i].ternary));
      dw.push_back((d * dy.to(torch::kDouble)).t().mm(q));
    }
    loss.backward();
    CHECK(relative_error(input.grad(), dx) < kSpecified);
    for (std::size_t i = 0; i < masters.size(); ++i) {
      CHECK(relative_error(masters[i].grad(), dw[i]) < kSpecified);
      CHECK(masters[i].grad().scalar_type() == torch::kFloat);
    }
  }
}

TEST_CASE("check 14: with bf16 operands dX and dW are those of the rounded dY, up to sums in fp32") {
  const at::Tensor x = normal({kRows, kInputs}, 30);
  for (const Case& how : kCases) {
    INFO(quant::row_of(how.scheme).name << " keep " << how.keep);
    std::vector<at::Tensor> masters{normal({8, kInputs}, 31).requires_grad_(),
                                    normal({4, kInputs}, 32).requires_grad_()};
    const auto weights = weights_of(masters);
    const auto [q, d] = reference_codes(x, how);
    const auto gradients = [&](ops::BackwardDtype dtype) {
      const at::Tensor input = x.detach().clone().requires_grad_();
      for (at::Tensor& master : masters) master.mutable_grad() = at::Tensor();
      const auto outputs = ops::bit_linear(input, weights, {how.scheme, how.keep, nullptr, dtype});
      at::Tensor loss = torch::zeros({});
      for (std::size_t i = 0; i < outputs.size(); ++i)
        loss = loss + (outputs[i] * normal(outputs[i].sizes().vec(), 33 + i)).sum();
      loss.backward();
      return std::vector<at::Tensor>{input.grad(), masters[0].grad(), masters[1].grad()};
    };
    const auto found = gradients(ops::BackwardDtype::bf16), plain = gradients(ops::BackwardDtype::fp32);

    // dY, or d ⊙ dY in fp32, is rounded once; the codes are exact. dX adds two products with a block each.
    std::vector<at::Tensor> wanted{torch::zeros({kRows, kInputs}, torch::kDouble)}, size{wanted[0].clone()};
    std::int64_t terms = kRows;
    for (std::size_t i = 0; i < masters.size(); ++i) {
      const auto rounded = [](const at::Tensor& a) { return a.to(torch::kBFloat16).to(torch::kDouble); };
      const at::Tensor given = normal({kRows, masters[i].size(0)}, 33 + i), dy = rounded(given),
                       scaled = rounded(d.to(torch::kFloat) * given),
                       w = weight_in_double(weights[i].ternary);
      wanted[0] += dy.mm(w);
      size[0] += dy.abs().mm(w.abs());
      wanted.push_back(scaled.t().mm(q));
      size.push_back(scaled.abs().t().mm(q.abs()));
      terms += masters[i].size(0);
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      CHECK(found[i].scalar_type() == torch::kFloat);
      const at::Tensor error = (found[i].to(torch::kDouble) - wanted[i]).abs();
      CHECK((error <= bf16_product_tolerance(terms, kernels::kBf16Inputs, 1.0) * size[i]).all().item<bool>());
      CHECK(!same_bits(found[i], plain[i]));
    }
  }
}

TEST_CASE("an unused output adds nothing, and gradients accumulate over two micro-batches") {
  at::Tensor used = normal({4, kInputs}, 8).requires_grad_(),
             unused = normal({4, kInputs}, 9).requires_grad_();
  const at::Tensor x = normal({kRows, kInputs}, 10);
  const auto run = [&] {
    ops::bit_linear(x, weights_of({used, unused}), {quant::Scheme::int4, 1.0})[0].sum().backward();
  };
  run();
  CHECK(!unused.grad().defined());
  const at::Tensor once = used.grad().clone();
  run();
  CHECK(same_bits(used.grad(), once * 2));
}

TEST_CASE("check 6: zero rows give exactly +0, and small or huge rows no NaN, through every slot") {
  for (const Case& how : kCases) {
    for (const RowKind kind : kFiniteRows) {
      at::Tensor x = torch::empty({2, kInputs});
      for (std::int64_t r = 0; r < 2; ++r) fill_row(kind, x[r].data_ptr<float>(), kInputs, seed(), r);
      const at::Tensor y =
          ops::bit_linear(x, weights_of({normal({6, kInputs}, 11)}), {how.scheme, how.keep}).front();
      INFO(quant::row_of(how.scheme).name << " row kind " << static_cast<int>(kind));
      // Near the largest float a product of a code and its step may overflow.
      if (kind != RowKind::huge) CHECK(y.isfinite().all().item<bool>());
      CHECK(!y.isnan().any().item<bool>());
      if (kind == RowKind::zeros || kind == RowKind::minus_zeros) CHECK(same_bits(y, torch::zeros_like(y)));
    }
  }
  ops::reset_non_finite();
}

TEST_CASE("check 7: a NaN or Inf row has zero codes and is reported with its linear and row") {
  for (const float bad : {std::nanf(""), INFINITY}) {
    ops::reset_non_finite();
    at::Tensor x = normal({kRows, kInputs}, 12);
    x[3][5] = bad;
    const at::Tensor master = normal({4, kInputs}, 13);
    const ops::LinearWeight weight{master, ops::ternarize(master), "model.layers.1.mlp.down_proj"};
    const at::Tensor y = ops::bit_linear(x, {&weight, 1}, {quant::Scheme::int8, 1.0}).front();
    CHECK(*ops::first_non_finite() == "model.layers.1.mlp.down_proj input, row 3");
    CHECK(same_bits(y[3], torch::zeros({4})));
  }
  ops::reset_non_finite();
  const at::Tensor master = normal({4, kInputs}, 13);
  master[0][0] = NAN;
  const ops::LinearWeight weight{master, ops::ternarize(master), "w"};
  CHECK(!weight.ternary.finite);
  ops::bit_linear(normal({kRows, kInputs}, 12), {&weight, 1}, {quant::Scheme::int8, 1.0});
  CHECK(*ops::first_non_finite() == "w weight");
  ops::reset_non_finite();
}

TEST_CASE("check 9: matrices on a shared input equal the same matrices one by one, bit for bit") {
  const at::Tensor x = normal({kRows, kInputs}, 14);
  const auto weights = weights_of({normal({8, kInputs}, 15), normal({2, kInputs}, 16)});
  const auto together = ops::bit_linear(x, weights, {quant::Scheme::int4, 1.0});
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CHECK(same_bits(together[i], ops::bit_linear(x, {&weights[i], 1}, {quant::Scheme::int4, 1.0}).front()));
  }
}

TEST_CASE("zero codes are counted, those of TopK included") {
  const at::Tensor x = normal({kRows, kInputs}, 17);
  for (const Case& how : kCases) {
    std::int64_t zeros = 0;
    ops::bit_linear(x, weights_of({normal({2, kInputs}, 18)}), {how.scheme, how.keep, &zeros});
    CHECK(zeros == (reference_codes(x, how).first == 0).sum().item<std::int64_t>());
  }
}

TEST_CASE("mode a16: y = x·(α·T)ᵀ, dX = dY·(α·T), dW = dYᵀ·x") {
  const at::Tensor x = normal({2, 3, kInputs}, 19).requires_grad_();
  const at::Tensor master = normal({6, kInputs}, 20).requires_grad_();
  const auto weights = weights_of({master});
  const at::Tensor y = ops::ternary_linear(x, weights).front();
  const at::Tensor w = weight_in_double(weights[0].ternary), dy = normal({2, 3, 6}, 21);
  CHECK(relative_error(y, x.detach().to(torch::kDouble).matmul(w.t())) < kSpecified);
  y.backward(dy);
  const at::Tensor flat = dy.view({6, 6}).to(torch::kDouble);
  CHECK(relative_error(x.grad(), flat.mm(w).view({2, 3, kInputs})) < kSpecified);
  CHECK(relative_error(master.grad(), flat.t().mm(x.detach().view({6, kInputs}).to(torch::kDouble))) <
        kSpecified);
}

TEST_CASE("an input of the wrong width is refused with both widths") {
  CHECK_ERROR(ops::bit_linear(torch::zeros({2, 5}), weights_of({torch::zeros({3, 4})}), {}),
              ErrorKind::config, "5", "4");
}

}  // namespace a48::test
