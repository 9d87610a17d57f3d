// rms_norm, glu, rope: exact derivatives against a numeric Jacobian in double, and what numerics.md says of
// their bits.
#include "core/ops/glu.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

constexpr double kEps = 1e-5;

at::Tensor norm_in_double(const at::Tensor& x, const at::Tensor& gain) {
  return x * (x.square().mean(-1, true) + kEps).rsqrt() * gain;
}

/// The half-split formula of numerics.md 3, in double.
at::Tensor rope_in_double(const at::Tensor& x, const at::Tensor& position, std::int64_t heads, double theta) {
  const std::int64_t hd = x.size(1) / heads, half = hd / 2;
  const at::Tensor exponent = torch::arange(half, torch::kDouble) * (-2.0 / static_cast<double>(hd));
  const at::Tensor angle =
      position.to(torch::kDouble).unsqueeze(1) * torch::pow(theta, exponent);  // [R, half]
  const at::Tensor cos = angle.cos().unsqueeze(1), sin = angle.sin().unsqueeze(1);
  const at::Tensor parts = x.to(torch::kDouble).view({x.size(0), heads, hd});
  const at::Tensor a = parts.narrow(2, 0, half), b = parts.narrow(2, half, half);
  return torch::cat({a * cos - b * sin, b * cos + a * sin}, 2).view({x.size(0), heads * hd});
}

}  // namespace

TEST_CASE("rms_norm has the exact derivative in input and gain") {
  const auto errors = gradient_errors([](const auto& in) { return ops::rms_norm(in[0], in[1], kEps); },
                                      [](const auto& in) { return norm_in_double(in[0], in[1]); },
                                      {normal({2, 3, 10}, 1), normal({10}, 2)});
  for (const double error : errors) CHECK(error < gradient_tolerance(10));
}

TEST_CASE("check 18: RMSNorm keeps zeros zero; another row or batch size changes no bit") {
  at::Tensor x = normal({4, 136}, 3);
  const at::Tensor gain = normal({136}, 4);
  x[1][7] = 0.0;
  const at::Tensor y = ops::rms_norm(x, gain, kEps);
  CHECK(y[1][7].item<float>() == 0.0f);
  CHECK(same_bits(ops::rms_norm(torch::zeros({1, 136}), gain, kEps).abs(), torch::zeros({1, 136})));
  for (std::int64_t r = 0; r < 4; ++r)
    CHECK(same_bits(ops::rms_norm(x.narrow(0, r, 1), gain, kEps)[0], y[r]));
  x[0].mul_(3.0);
  CHECK(same_bits(ops::rms_norm(x, gain, kEps)[2], y[2]));
  CHECK(relative_error(y, norm_in_double(normal({4, 136}, 3).to(torch::kDouble).index_put_({1, 7}, 0.0),
                                         gain.to(torch::kDouble))) < chain_tolerance(4, 1.0));
  CHECK_ERROR(ops::rms_norm(x, normal({5}, 4), kEps), ErrorKind::config, "136", "5");
}

TEST_CASE("glu has the exact derivative for relu2 and silu") {
  const std::vector<at::Tensor> inputs{normal({3, 2, 9}, 5), normal({3, 2, 9}, 6)};
  const auto relu2 =
      gradient_errors([](const auto& in) { return ops::glu(in[0], in[1], kernels::GluKind::relu2); },
                      [](const auto& in) { return in[0].clamp_min(0).square() * in[1]; }, inputs);
  for (const double error : relu2) CHECK(error < gradient_tolerance(1));
  const auto silu =
      gradient_errors([](const auto& in) { return ops::glu(in[0], in[1], kernels::GluKind::silu); },
                      [](const auto& in) { return in[0] * in[0].sigmoid() * in[1]; }, inputs);
  for (const double error : silu) CHECK(error < gradient_tolerance(1));
}

TEST_CASE("relu2 glu is exactly +0 wherever the gate is closed") {
  const at::Tensor gate = torch::tensor({{-1.0f, 0.0f, -0.0f, 2.0f}}),
                   up = torch::tensor({{-3.0f, -3.0f, -3.0f, -3.0f}});
  CHECK(same_bits(ops::glu(gate, up, kernels::GluKind::relu2), torch::tensor({{0.0f, 0.0f, 0.0f, -12.0f}})));
}

TEST_CASE("check 19: RoPE equals the half-split formula and rotates back in its derivative, hd 100 too") {
  const at::Tensor position = torch::tensor({0, 5, 63}, torch::kInt);
  for (const std::int64_t hd : {4, 64, 100}) {
    const ops::RopeTables tables = ops::rope_tables(64, hd, 10000.0);
    const at::Tensor x = normal({3, 2 * hd}, 7);
    CHECK(relative_error(ops::rope(x, position, 2, tables), rope_in_double(x, position, 2, 10000.0)) <
          chain_tolerance(4, 1.0));
    const at::Tensor leaf = x.clone().requires_grad_(), dy = normal({3, 2 * hd}, 8);
    const at::Tensor y = ops::rope(leaf, position, 2, tables);
    CHECK(same_bits(y, ops::rope(x, position, 2, tables)));
    y.backward(dy);
    // The derivative of a rotation is its inverse: rotating the gradient forth gives dy back.
    CHECK(relative_error(rope_in_double(leaf.grad(), position, 2, 10000.0), dy) < chain_tolerance(8, 1.0));
  }
}

TEST_CASE("a position outside the tables is refused") {
  const ops::RopeTables tables = ops::rope_tables(8, 4, 10000.0);
  CHECK_ERROR(ops::rope(torch::zeros({1, 4}), torch::tensor({8}, torch::kInt), 1, tables), ErrorKind::config,
              "position 8", "context is 8");
}

TEST_CASE("check 19: scores depend on position differences only") {
  constexpr double kSpecified = 1e-5;
  for (const std::int64_t hd : {64, 100}) {
    const ops::RopeTables tables = ops::rope_tables(600, hd, 10000.0);
    const at::Tensor q = normal({1, hd}, 9), k = normal({1, hd}, 10);
    const auto score = [&](int p, int distance) {
      return (ops::rope(q, torch::tensor({p + distance}, torch::kInt), 1, tables).to(torch::kDouble) *
              ops::rope(k, torch::tensor({p}, torch::kInt), 1, tables).to(torch::kDouble))
          .sum()
          .item<double>();
    };
    const double scale = q.norm().item<double>() * k.norm().item<double>();
    for (const int p : {1, 77, 500}) CHECK(std::abs(score(p, 9) - score(0, 9)) < kSpecified * scale);
  }
}

}  // namespace a48::test
