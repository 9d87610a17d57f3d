// BitLinear on a device against BitLinear on the CPU: the forward pass in all bits (E8), the backward
// products within their roundings. The device is the CUDA kernels' sources on the CPU
// (tests/support/device_on_host.h).
#include "core/ops/device_linear.h"

#include <cmath>
#include <limits>

#include "core/ops/glu.h"
#include "core/ops/rms_norm.h"
#include "core/ops/status.h"
#include "core/ops/topk.h"
#include "tests/support/catch.h"
#include "tests/support/device_on_host.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

using ops::CodeProduct;
using quant::Scheme;

constexpr double kEps = 1e-5;
constexpr double kSpecified = 1e-5;  // numerics.md 9, checks 13 and 14: relative to the norm

struct Case {
  Scheme scheme;
  double keep;
};
// The slots of a8, a4.8 and a4.8-fp4, and the ablations.
const std::vector<Case> kCases{{Scheme::int8, 1.0},         {Scheme::int8, 0.5}, {Scheme::int4, 1.0},
                               {Scheme::fp4, 1.0},          {Scheme::fp4, 0.3},  {Scheme::int4_absmax, 1.0},
                               {Scheme::int4_absmean2, 1.0}};

struct Shape {
  std::int64_t rows, inputs;
  std::vector<std::int64_t> outputs;  // of matrices on one input
};
const std::vector<Shape> kShapes{{1, 37, {8, 3, 5}}, {16, 64, {16}}, {17, 65, {7, 9}}, {33, 136, {24, 8, 8}}};

std::vector<at::Tensor> masters_of(const Shape& shape) {
  std::vector<at::Tensor> masters;
  for (std::size_t i = 0; i < shape.outputs.size(); ++i)
    masters.push_back(normal({shape.outputs[i], shape.inputs}, 40 + i));
  return masters;
}

/// As the present device, or the CPU, makes them.
std::vector<ops::LinearWeight> weights_of(const std::vector<at::Tensor>& masters) {
  const std::vector<ops::TernaryWeight> codes = ops::ternarize(masters);
  std::vector<ops::LinearWeight> weights;
  for (std::size_t i = 0; i < masters.size(); ++i) weights.push_back({masters[i], codes[i], "w"});
  return weights;
}

ops::LinearInput input_of(const Case& how, const at::Tensor& gain = {},
                          ops::BackwardDtype backward = ops::BackwardDtype::fp32) {
  ops::LinearInput input;
  input.scheme = how.scheme;
  input.keep = how.keep;
  input.backward = backward;
  input.gain = gain;
  input.eps = kEps;
  return input;
}

std::string name_of(const Case& how, const Shape& shape) {
  return concat(quant::row_of(how.scheme).name, " keep ", how.keep, ", ", shape.rows, " x ", shape.inputs);
}

bool equal_bf16(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kBFloat16 && a.sizes() == b.sizes() &&
         torch::equal(a.contiguous().view(torch::kShort), b.contiguous().view(torch::kShort));
}

}  // namespace

TEST_CASE("E8: codes and alpha of a weight on a device equal the CPU's, padding is zero") {
  for (const std::int64_t outputs : {1, 8, 13}) {
    const at::Tensor master = normal({outputs, 37}, 1);
    const ops::TernaryWeight wanted = ops::ternarize(master);
    const DeviceOnHost device;
    const ops::TernaryWeight found = ops::ternarize(master);
    CHECK(torch::equal(found.codes, wanted.codes));
    CHECK(found.device_alpha.item<float>() == wanted.alpha);
    CHECK(found.device_status.item<int>() == kernels::kRowFinite);
    CHECK(found.padded.size(0) >= (outputs + 7) / 8 * 8);
    CHECK(found.padded.size(1) % 64 == 0);
    CHECK(found.padded.abs().sum().item<std::int64_t>() == wanted.codes.abs().sum().item<std::int64_t>());
  }
}

TEST_CASE("codes of matrices made together lie one after another, whatever their sizes") {
  const std::vector<at::Tensor> masters = masters_of(kShapes[0]);
  const auto wanted = ops::ternarize(masters);
  const DeviceOnHost device;
  const auto found = ops::ternarize(masters);
  const ops::TernaryWeight alone = ops::ternarize(masters[1]);
  CHECK(torch::equal(found[1].codes, alone.codes));
  CHECK(!alone.follows(found[0]));
  std::vector<at::Tensor> codes;
  for (std::size_t i = 0; i < masters.size(); ++i) {
    CHECK((i == 0 || found[i].follows(found[i - 1])));
    CHECK(found[i].device_alpha.item<float>() == wanted[i].alpha);
    codes.push_back(wanted[i].codes);
  }
  const at::Tensor all = torch::cat(codes);  // [16, 37]
  CHECK(torch::equal(found[0].padded.narrow(0, 0, 16).narrow(1, 0, 37), all));
  CHECK(found[0].padded.abs().sum().item<std::int64_t>() == all.abs().sum().item<std::int64_t>());
}

TEST_CASE(
    "check 13, E8: the forward pass on a device has the CPU's bits, both products, with and without norm") {
  for (const Shape& shape : kShapes) {
    const at::Tensor x = normal({shape.rows, shape.inputs}, 2), gain = normal({shape.inputs}, 3);
    const std::vector<at::Tensor> masters = masters_of(shape);
    const auto on_cpu = weights_of(masters);
    for (const Case& how : kCases) {
      INFO(name_of(how, shape));
      const auto plain = ops::bit_linear(x, on_cpu, input_of(how));
      const auto normed = ops::bit_linear(ops::rms_norm(x, gain, kEps), on_cpu, input_of(how));
      for (const CodeProduct product : {CodeProduct::int_mm, CodeProduct::own_kernel}) {
        const DeviceOnHost device(product);
        const auto weights = weights_of(masters);
        const auto found = ops::bit_linear(x, weights, input_of(how));
        const auto found_normed = ops::bit_linear(x, weights, input_of(how, gain));
        const auto tracked =
            ops::bit_linear(x.detach().clone().requires_grad_(), weights, input_of(how, gain));
        for (std::size_t i = 0; i < masters.size(); ++i) {
          CHECK(same_bits(found[i], plain[i]));
          CHECK(same_bits(found_normed[i], normed[i]));
          CHECK(same_bits(tracked[i].detach(), normed[i]));
        }
      }
    }
  }
}

TEST_CASE("bf16 rows: as the CPU on the widened rows, rounded once") {
  const Shape shape{18, 70, {9, 16}};
  const at::Tensor x = normal({shape.rows, shape.inputs}, 4).to(torch::kBFloat16),
                   gain = normal({shape.inputs}, 5);
  const std::vector<at::Tensor> masters = masters_of(shape);
  const auto on_cpu = weights_of(masters);
  for (const Case& how : kCases) {
    INFO(name_of(how, shape));
    const auto wanted =
        ops::bit_linear(ops::rms_norm(x.to(torch::kFloat), gain, kEps), on_cpu, input_of(how));
    for (const CodeProduct product : {CodeProduct::int_mm, CodeProduct::own_kernel}) {
      const DeviceOnHost device(product);
      const auto found = ops::bit_linear(x, weights_of(masters), input_of(how, gain));
      for (std::size_t i = 0; i < masters.size(); ++i)
        CHECK(equal_bf16(found[i], wanted[i].to(torch::kBFloat16)));
    }
  }
}

TEST_CASE("check 14, check 15: dX and dW on a device, fp32 and bf16 operands, within their roundings") {
  const Shape shape{19, 45, {11, 8, 6}};
  const at::Tensor x = normal({shape.rows, shape.inputs}, 6);
  for (const Case& how : kCases) {
    for (const bool bf16 : {false, true}) {
      INFO(name_of(how, shape) << ", bf16 operands " << bf16);
      std::vector<at::Tensor> masters = masters_of(shape);
      const ops::Codes codes = [&] {  // by the CPU; with TopK's zeros
        const ops::Codes all = ops::encode(x, how.scheme);
        return ops::Codes{
            how.keep < 1.0 ? all.codes * ops::topk(x, how.keep).second.to(torch::kChar) : all.codes,
            all.step};
      }();
      const at::Tensor q = codes.codes.to(torch::kDouble), d = codes.step.to(torch::kDouble);
      std::vector<at::Tensor> dense;
      for (const auto& weight : weights_of(masters))
        dense.push_back(weight.ternary.codes.to(torch::kDouble) * static_cast<double>(weight.ternary.alpha));

      const DeviceOnHost device;
      for (at::Tensor& master : masters) master.requires_grad_();
      const at::Tensor input = x.detach().clone().requires_grad_();
      const auto outputs =
          ops::bit_linear(input, weights_of(masters),
                          input_of(how, {}, bf16 ? ops::BackwardDtype::bf16 : ops::BackwardDtype::fp32));
      at::Tensor loss = torch::zeros({});
      std::vector<at::Tensor> wanted{torch::zeros_like(q)}, size{torch::zeros_like(q)};
      std::int64_t terms = shape.rows;
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const at::Tensor dy = normal(outputs[i].sizes().vec(), 60 + i);
        loss = loss + (outputs[i] * dy).sum();
        const at::Tensor wide = dy.to(torch::kDouble);
        wanted[0] += wide.mm(dense[i]);
        size[0] += wide.abs().mm(dense[i].abs());
        wanted.push_back((d * wide).t().mm(q));
        size.push_back((d * wide).abs().t().mm(q.abs()));
        terms += shape.outputs[i];
      }
      loss.backward();
      std::vector<at::Tensor> found{input.grad()};
      for (const at::Tensor& master : masters) found.push_back(master.grad());
      for (std::size_t i = 0; i < found.size(); ++i) {
        REQUIRE(found[i].defined());
        CHECK(found[i].scalar_type() == torch::kFloat);
        const at::Tensor error = (found[i].to(torch::kDouble) - wanted[i]).abs();
        // Only dY, or d ⊙ dY, is rounded; scale and sum over matrices add two operations to the terms.
        CHECK((error <= dot_tolerance(terms + 2, 1.0, bf16) * size[i]).all().item<bool>());
      }
    }
  }
}

TEST_CASE("outputs that nothing was made of, and masters that want no gradient, are left out of backward") {
  const at::Tensor x = normal({18, 40}, 27), dy = normal({18, 3}, 28);
  const auto run = [&](bool integer) {
    const at::Tensor in = x.clone().requires_grad_();
    std::vector<at::Tensor> masters{normal({8, 40}, 29).requires_grad_(),
                                    normal({3, 40}, 30).requires_grad_(), normal({5, 40}, 31)};
    const auto weights = weights_of(masters);
    const auto y =
        integer ? ops::bit_linear(in, weights, input_of(kCases[2])) : ops::ternary_linear(in, weights);
    y[1].backward(dy);
    CHECK(!masters[0].grad().defined());
    CHECK(!masters[2].grad().defined());
    return std::vector<at::Tensor>{in.grad(), masters[1].grad()};
  };
  for (const bool integer : {true, false}) {
    const auto wanted = run(integer);
    const DeviceOnHost device;
    const auto found = run(integer);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(relative_error(found[i], wanted[i]) < kSpecified);
  }
}

TEST_CASE(
    "with the norm inside, gradients of input, gain and masters are those of norm and BitLinear in turn") {
  const Shape shape{18, 40, {8, 16}};
  const at::Tensor x = normal({shape.rows, shape.inputs}, 7), gain = normal({shape.inputs}, 8);
  const auto gradients = [&](bool separate) {
    std::vector<at::Tensor> leaves{x.clone().requires_grad_(), gain.clone().requires_grad_()};
    std::vector<at::Tensor> masters = masters_of(shape);
    for (at::Tensor& master : masters) leaves.push_back(master.requires_grad_());
    const auto weights = weights_of(masters);
    const auto outputs =
        separate ? ops::bit_linear(ops::rms_norm(leaves[0], leaves[1], kEps), weights, input_of(kCases[2]))
                 : ops::bit_linear(leaves[0], weights, input_of(kCases[2], leaves[1]));
    at::Tensor loss = torch::zeros({});
    for (std::size_t i = 0; i < outputs.size(); ++i)
      loss = loss + (outputs[i] * normal(outputs[i].sizes().vec(), 70 + i)).sum();
    loss.backward();
    std::vector<at::Tensor> found;
    for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad());
    return found;
  };
  const auto on_cpu = gradients(true), on_cpu_together = gradients(false);
  const DeviceOnHost device;
  const auto together = gradients(false), separate = gradients(true);
  for (std::size_t i = 0; i < on_cpu.size(); ++i) {
    INFO("gradient " << i);
    CHECK(same_bits(on_cpu_together[i], on_cpu[i]));
    CHECK(relative_error(together[i], on_cpu[i]) < kSpecified);
    CHECK(relative_error(separate[i], on_cpu[i]) < kSpecified);
  }
}

TEST_CASE("the GLU made again in backward: value and gradients of BitLinear and GLU in turn, less saved") {
  const at::Tensor x = normal({18, 37}, 20), gain = normal({37}, 21), dy = normal({18, 12}, 22);
  for (const Case& how : kCases) {
    for (const auto kind : {kernels::GluKind::relu2, kernels::GluKind::silu}) {
      const auto run = [&](bool together) {
        std::vector<at::Tensor> leaves{x.clone(), gain.clone(), normal({12, 37}, 23), normal({12, 37}, 24)};
        for (at::Tensor& leaf : leaves) leaf.requires_grad_();
        ops::LinearInput input = input_of(how, leaves[1]);
        if (together) input.glu = kind;
        const auto y = ops::bit_linear(leaves[0], weights_of({leaves[2], leaves[3]}), input);
        const at::Tensor f = together ? y.front() : ops::glu(y[0], y[1], kind);
        f.backward(dy);
        std::vector<at::Tensor> found{f.detach()};
        for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad());
        return found;
      };
      INFO(quant::row_of(how.scheme).name << " keep " << how.keep);
      const auto on_cpu = run(false), on_cpu_together = run(true);
      const DeviceOnHost device;
      const auto separate = run(false), together = run(true);
      CHECK(same_bits(together[0], on_cpu[0]));
      for (std::size_t i = 0; i < on_cpu.size(); ++i) {
        INFO("result " << i);
        CHECK(same_bits(on_cpu_together[i], on_cpu[i]));
        CHECK(same_bits(together[i], separate[i]));  // the same products on the same bits
      }
    }
  }
}

TEST_CASE("mode a16 on a device: products and gradients of the CPU") {
  const at::Tensor x = normal({18, 37}, 9);
  const auto run = [&] {
    const at::Tensor in = x.clone().requires_grad_(), v = normal({6, 37}, 10).requires_grad_(),
                     w = normal({3, 37}, 25).requires_grad_();
    const auto y = ops::ternary_linear(in, weights_of({v, w}));
    ((y[0] * normal({18, 6}, 11)).sum() + (y[1] * normal({18, 3}, 26)).sum()).backward();
    return std::vector<at::Tensor>{y[0].detach(), y[1].detach(), in.grad(), v.grad(), w.grad()};
  };
  const auto wanted = run();
  const DeviceOnHost device;
  const auto found = run();
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(relative_error(found[i], wanted[i]) < kSpecified);
}

TEST_CASE("quantizers, and the mask of TopK, give the CPU's bits") {
  const at::Tensor x = normal({5, 3, 37}, 12);
  for (const Scheme scheme : {Scheme::int8, Scheme::int4, Scheme::fp4, Scheme::ternary}) {
    const at::Tensor matrix = scheme == Scheme::ternary ? x.view({15, 37}) : x;
    const at::Tensor wanted = ops::fake_quant(matrix, scheme);
    const DeviceOnHost device;
    CHECK(same_bits(ops::fake_quant(matrix, scheme), wanted));
  }
  const auto wanted = ops::topk(x, 0.3);
  const DeviceOnHost device;
  const auto found = ops::topk(x, 0.3);
  CHECK(same_bits(found.first, wanted.first));
  CHECK(same_bits(found.second, wanted.second));
}

TEST_CASE(
    "check 7: a non-finite row or weight is found on the device, without waiting, and named when asked") {
  ops::reset_non_finite();
  const at::Tensor x = normal({18, 37}, 13), master = normal({4, 37}, 14);
  const DeviceOnHost device;
  const auto run = [&](const at::Tensor& input, const at::Tensor& weight) {
    const ops::LinearWeight one{weight, ops::ternarize(weight), "model.layers.1.mlp.down_proj"};
    return ops::bit_linear(input, {&one, 1}, input_of(kCases[0])).front();
  };
  run(x, master);
  CHECK(!ops::watched_flag().item<bool>());
  at::Tensor bad = x.clone();
  bad[11][5] = std::numeric_limits<float>::infinity();
  const at::Tensor y = run(bad, master);
  CHECK(ops::watched_flag().item<bool>());
  CHECK(same_bits(y[11], torch::zeros({4})));
  CHECK(*ops::first_non_finite() == "model.layers.1.mlp.down_proj input, row 11");
  CHECK(ops::first_non_finite_row() == 11);
  {
    const ops::NonFiniteScope own;
    CHECK(!ops::first_non_finite());
  }
  ops::reset_non_finite();
  CHECK(!ops::watched_flag().defined());
  at::Tensor damaged = master.clone();
  damaged[0][0] = std::numeric_limits<float>::quiet_NaN();
  run(x, damaged);
  CHECK(*ops::first_non_finite() == "model.layers.1.mlp.down_proj weight");
  ops::reset_non_finite();
}

TEST_CASE("zero codes are counted on a device as on the CPU") {
  const at::Tensor x = normal({18, 37}, 15), master = normal({4, 37}, 16);
  const auto count = [&] {
    std::int64_t zeros = 0;
    ops::LinearInput input = input_of(kCases[1]);
    input.zero_codes = &zeros;
    ops::bit_linear(x, weights_of({master}), input);
    return zeros;
  };
  const std::int64_t wanted = count();
  const DeviceOnHost device;
  CHECK(count() == wanted);
}

TEST_CASE("types and widths that a device cannot take are refused") {
  const DeviceOnHost device;
  const at::Tensor master = normal({4, 8}, 17);
  const auto weights = weights_of({master});
  CHECK_ERROR(ops::bit_linear(torch::zeros({2, 8}, torch::kHalf), weights, input_of(kCases[0])),
              ErrorKind::config, "fp32 or bf16");
  CHECK_ERROR(ops::bit_linear(torch::zeros({2, 5}), weights, input_of(kCases[0])), ErrorKind::config, "5",
              "8");
}

}  // namespace a48::test
