// Norm, GLU, rotary positions, attention and head on a device against the CPU: forward bits where the kernels
// are ours, bounds elsewhere.
#include "core/ops/device_rows.h"

#include "core/ops/attention.h"
#include "core/ops/glu.h"
#include "core/ops/head.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "tests/support/catch.h"
#include "tests/support/device_on_host.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

constexpr double kEps = 1e-5;
using Tensors = std::vector<at::Tensor>;

/// y, then the gradients of the inputs, of Σ w ⊙ operation(inputs).
Tensors run(const Operation& operation, const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const at::Tensor y = operation(leaves);
  y.backward(normal(y.sizes().vec(), 77).to(y.scalar_type()));
  Tensors found{y.detach()};
  for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad());
  return found;
}

void check(const Operation& operation, const Tensors& inputs, std::int64_t terms, bool same_forward_bits) {
  const Tensors wanted = run(operation, inputs);
  const DeviceOnHost device;
  const Tensors found = run(operation, inputs);
  if (same_forward_bits) CHECK(same_bits(found[0], wanted[0]));
  {
    const at::NoGradGuard no_grad;
    CHECK(same_bits(operation(inputs), found[0]));
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    INFO("result " << i);
    CHECK(relative_error(found[i], wanted[i]) < 2 * gradient_tolerance(terms));
  }
}

}  // namespace

TEST_CASE("rms_norm on a device: the CPU's bits forward, its derivative within roundings") {
  check([](const Tensors& in) { return ops::rms_norm(in[0], in[1], kEps); },
        {normal({2, 9, 45}, 1), normal({45}, 2)}, 45, true);
}

TEST_CASE("glu on a device: the CPU's bits") {
  for (const auto kind : {kernels::GluKind::relu2, kernels::GluKind::silu})
    check([kind](const Tensors& in) { return ops::glu(in[0], in[1], kind); },
          {normal({3, 5, 18}, 3), normal({3, 5, 18}, 4)}, 1, true);
}

TEST_CASE("rope on a device: the CPU's bits") {
  const at::Tensor position = torch::tensor({0, 5, 63}, torch::kInt);
  const ops::RopeTables tables = ops::rope_tables(64, 20, 10000.0);
  check([&](const Tensors& in) { return ops::rope(in[0], position, 2, tables); }, {normal({3, 40}, 5)}, 1,
        true);
}

TEST_CASE("attention on a device, sequences of different lengths; the exact order is refused there") {
  const ops::AttentionShape shape{4, 2, 8, {0, 5, 12}};
  const Tensors inputs{normal({12, 32}, 6), normal({12, 16}, 7), normal({12, 16}, 8)};
  const auto wanted =
      run([&](const Tensors& in) { return ops::sdpa_attention(in[0], in[1], in[2], shape); }, inputs);
  const DeviceOnHost device;
  const auto found =
      run([&](const Tensors& in) { return ops::sdpa_attention(in[0], in[1], in[2], shape); }, inputs);
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(same_bits(found[i], wanted[i]));
  CHECK_ERROR(ops::exact_attention(inputs[0], inputs[1], inputs[2], shape), ErrorKind::config, "GPU");
}

TEST_CASE("the head's loss on a device: loss and gradients of the CPU, fp32 and bf16") {
  constexpr std::int64_t kRows = 40, kVocab = 51, kWidth = 24;
  const at::Tensor x = normal({kRows, kWidth}, 9), weight = normal({kVocab, kWidth}, 10);
  const at::Tensor target = torch::arange(kRows, torch::kLong).remainder(kVocab);
  const Operation loss = [&](const Tensors& in) { return ops::head_loss_sum(in[0], in[1], target); };
  check(loss, {x, weight}, kWidth + kVocab + kRows, false);
  // bf16 rows: the same as the CPU on rounded operands, dlogits rounded once more.
  const at::Tensor narrow = x.to(torch::kBFloat16), table = weight.to(torch::kBFloat16).to(torch::kFloat);
  const Tensors wanted = run(loss, {narrow.to(torch::kFloat), table});
  const DeviceOnHost device;
  const Tensors found = run(
      [&](const Tensors& in) { return ops::head_loss_sum(in[0], in[1], target, ops::BackwardDtype::bf16); },
      {narrow, table});
  CHECK(relative_error(found[0], wanted[0]) < gradient_tolerance(kWidth + kRows));
  for (std::size_t i = 1; i < wanted.size(); ++i)
    CHECK(relative_error(found[i], wanted[i]) < 2 * kUnitRoundoffBf16);
}

TEST_CASE("logits on a device: the CPU's within roundings, fp32 from bf16 rows") {
  const at::Tensor x = normal({7, 24}, 11), weight = normal({51, 24}, 12);
  const at::Tensor wanted = ops::exact_head(x, weight);
  const DeviceOnHost device;
  CHECK(relative_error(ops::exact_head(x, weight), wanted) < gradient_tolerance(24));
  const at::Tensor narrow = ops::exact_head(x.to(torch::kBFloat16), weight);
  CHECK(narrow.scalar_type() == torch::kFloat);
  CHECK(relative_error(narrow, wanted) < 2 * kUnitRoundoffBf16);
}

}  // namespace a48::test
