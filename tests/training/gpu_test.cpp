// On a real GPU: operations and training steps against the CPU's, deterministic runs, resume. Every case is
// skipped without one.
#include "core/ops/gpu.h"

#include <cmath>

#include "core/ops/bit_linear.h"
#include "core/ops/device_product.h"
#include "core/ops/rms_norm.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/training/scored.h"
#include "training/devices.h"
#include "training/scorer.h"
#include "training/step.h"

namespace a48::test {
namespace {

using namespace a48::train;

constexpr double kEps = 1e-5;
constexpr double kSpecified = 1e-5;  // numerics.md 9, checks 13 and 14: relative to the norm

/// Skips the case without a GPU.
#define A48_NEEDS_GPU()                                        \
  do {                                                         \
    if (ops::gpu_count() == 0) A48_SKIP(ops::no_gpu_reason()); \
    ops::use_gpu();                                            \
  } while (false)

std::vector<ops::LinearWeight> weights_of(const std::vector<at::Tensor>& masters) {
  const std::vector<ops::TernaryWeight> codes = ops::ternarize(masters);
  std::vector<ops::LinearWeight> weights;
  for (std::size_t i = 0; i < masters.size(); ++i) weights.push_back({masters[i], codes[i], "w"});
  return weights;
}

std::vector<at::Tensor> on(torch::Device device, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> moved;
  for (const at::Tensor& tensor : tensors) moved.push_back(tensor.to(device));
  return moved;
}

/// Outputs, then gradients of input, gain and masters.
std::vector<at::Tensor> linear_pass(torch::Device device, quant::Scheme scheme, double keep,
                                    std::int64_t rows) {
  std::vector<at::Tensor> leaves =
      on(device, {normal({rows, 136}, 1), normal({136}, 2), normal({24, 136}, 3), normal({7, 136}, 4)});
  for (at::Tensor& leaf : leaves) leaf.requires_grad_();
  ops::LinearInput input;
  input.scheme = scheme;
  input.keep = keep;
  input.gain = leaves[1];
  input.eps = kEps;
  auto found = ops::bit_linear(leaves[0], weights_of({leaves[2], leaves[3]}), input);
  at::Tensor loss = torch::zeros({}, device);
  for (std::size_t i = 0; i < found.size(); ++i)
    loss = loss + (found[i] * normal(found[i].sizes().vec(), 9 + i).to(device)).sum();
  loss.backward();
  for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad());
  for (at::Tensor& tensor : found) tensor = tensor.detach().cpu();
  return found;
}

struct Trained {
  nn::BitNetForCausalLM model;
  AdamW optimizer;
  StepPlan plan;

  Trained(torch::Device device, quant::Mode mode)
      : model(tiny_run_config().model, device), optimizer(parameters_of(model)) {
    model->initialise(3);
    plan.mode = mode;
    plan.slots = quant::row_of(mode).slots;
    plan.learning_rate = 3e-3;
    plan.weight_decay = 0.1;
    model->set_slots(plan.slots);
  }
  StepResult step(std::int64_t n) {
    const at::Tensor ids = (torch::arange(4 * 17, torch::kLong) * (n + 3)).remainder(251).view({4, 17});
    return train_step(model, optimizer, config::Optim{}, plan, split_batch(ids, 2));
  }
};

}  // namespace

TEST_CASE("gpu, E8: BitLinear with its norm has the CPU's bits, gradients within roundings") {
  A48_NEEDS_GPU();
  for (const auto& [scheme, keep] :
       {std::pair{quant::Scheme::int8, 1.0}, std::pair{quant::Scheme::int8, 0.5},
        std::pair{quant::Scheme::int4, 1.0}, std::pair{quant::Scheme::fp4, 1.0}}) {
    for (const std::int64_t rows : {std::int64_t{5}, std::int64_t{33}, std::int64_t{512}}) {
      INFO(quant::row_of(scheme).name << " keep " << keep << ", rows " << rows);
      const auto wanted = linear_pass(torch::kCPU, scheme, keep, rows);
      for (const auto product : {ops::CodeProduct::int_mm, ops::CodeProduct::own_kernel}) {
        ops::DeviceAccess access = ops::device();
        access.code_product = product;
        ops::set_device_access(&access);
        const auto found = linear_pass(torch::kCUDA, scheme, keep, rows);
        ops::use_gpu();
        for (std::size_t i = 0; i < wanted.size(); ++i) {
          INFO("tensor " << i);
          if (i < 2) CHECK(same_bits(found[i], wanted[i]));
          CHECK(relative_error(found[i], wanted[i]) < kSpecified);
        }
      }
    }
  }
}

TEST_CASE("gpu: the product of codes is measured once a shape, and what is chosen has the CPU's bits") {
  A48_NEEDS_GPU();
  const auto wanted = linear_pass(torch::kCPU, quant::Scheme::int8, 1.0, 512);
  for (int time = 0; time < 2; ++time) {
    const auto found = linear_pass(torch::kCUDA, quant::Scheme::int8, 1.0, 512);
    for (std::size_t i = 0; i < 2; ++i) CHECK(same_bits(found[i], wanted[i]));
    REQUIRE(ops::measured_products().size() == 1);
    const ops::MeasuredProduct product = ops::measured_products().front();
    CHECK(product.rows == 512);
    CHECK(product.inputs == 136);
    CHECK(product.outputs == 24 + 7);
    CHECK(product.int_mm > 0.0);
    CHECK(product.own_kernel > 0.0);
  }
}

TEST_CASE("gpu, P7: fp32 steps follow the CPU's losses and norms, bf16 steps lower the loss") {
  A48_NEEDS_GPU();
  for (const quant::Mode mode :
       {quant::Mode::none, quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4}) {
    INFO(quant::row_of(mode).name);
    Trained on_cpu(torch::kCPU, mode), on_gpu(torch::kCUDA, mode), narrow(torch::kCUDA, mode);
    narrow.model->model->set_compute(torch::kBFloat16);
    narrow.model->set_backward(ops::BackwardDtype::bf16);
    double first = 0.0, last = 0.0;
    for (std::int64_t step = 0; step < 10; ++step) {
      const StepResult wanted = on_cpu.step(0), found = on_gpu.step(0), in_bf16 = narrow.step(0);
      CHECK(std::abs(found.loss - wanted.loss) < kRecordedTolerance * wanted.loss);
      CHECK(in_bf16.rejected == "");
      (step == 0 ? first : last) = in_bf16.loss;
    }
    CHECK(last < first);
  }
}

TEST_CASE("gpu, R5, R1: deterministic runs are equal bit for bit, stopped and resumed too") {
  A48_NEEDS_GPU();
  const std::vector<std::string> more{"run.device=cuda", "run.deterministic=true", "run.state_hash=true",
                                      "eval.interval=8"};
  TinyRun a, b, stopped;
  REQUIRE(a.with_text(20000).train(more) == ExitCode::done);
  REQUIRE(b.with_text(20000).train(more) == ExitCode::done);
  REQUIRE(stopped.with_text(20000).train_and_stop(7, more) == ExitCode::stopped);
  REQUIRE(stopped.train_and_stop(6, more) == ExitCode::stopped);
  REQUIRE(stopped.train(more) == ExitCode::done);
  CHECK(a.logged("state_hash") == b.logged("state_hash"));
  CHECK(a.logged("state_hash") == stopped.logged("state_hash"));
  CHECK(a.logged("loss", "eval") == stopped.logged("loss", "eval"));
}

TEST_CASE(
    "gpu: eval and generate of a checkpoint have the CPU's loss in every mode; the cache changes none") {
  A48_NEEDS_GPU();
  TinyRun tiny;
  REQUIRE(tiny.with_text(3000).train({"run.device=cpu"}) == ExitCode::done);
  check_losses(tiny.run().string(), [&](quant::Mode mode, const auto& check) {
    check(*open_model_on_gpu(tiny.run().string(), mode).model);
  });
}

TEST_CASE("gpu: a run that cannot fit ends before it begins, with the estimate") {
  A48_NEEDS_GPU();
  const TinyRun run;
  const Error error = error_of([&] {
    run.train({"run.device=cuda", "model.hidden_size=32768", "model.intermediate_size=32768",
               "model.num_hidden_layers=200"});
  });
  CHECK(error.kind() == ErrorKind::no_resources);
  CHECK(contains(error.what(), "needs about"));
}

}  // namespace a48::test
