// Training on a device, which here is the CUDA kernels' sources on the CPU: the CPU's losses, rejected steps,
// no wait inside a step, a whole run with evaluation and resume; the choice of device and what a GPU can do
// at best.
#include "core/ops/gpu.h"
#include "tests/support/catch.h"
#include "tests/support/device_on_host.h"
#include "tests/support/errors.h"
#include "tests/support/gradcheck.h"
#include "tests/training/scored.h"
#include "training/cost.h"
#include "training/devices.h"
#include "training/scorer.h"
#include "training/step.h"

#include <ATen/record_function.h>

#include <atomic>
#include <cmath>
#include <limits>

namespace a48::test {
namespace {

using namespace a48::train;

struct Trained {
  nn::BitNetForCausalLM model;
  AdamW optimizer;
  StepPlan plan;

  explicit Trained(quant::Mode mode) : model(tiny_run_config().model), optimizer(parameters_of(model)) {
    model->initialise(3);
    plan.mode = mode;
    plan.slots = quant::row_of(mode).slots;
    plan.learning_rate = 3e-3;
    plan.weight_decay = 0.1;
    model->set_slots(plan.slots);
  }
  StepResult step(const at::Tensor& ids, std::int64_t micro = 2) {
    return train_step(model, optimizer, config::Optim{}, plan, split_batch(ids, micro));
  }
};

at::Tensor batch(std::int64_t step) {
  return (torch::arange(4 * 9, torch::kLong) * (step + 3)).remainder(251).view({4, 9});
}

/// Questions for a value of a tensor: on a GPU each would wait. The CPU's form of the fused update asks for
/// its own arguments, which the GPU's does not.
std::atomic<int> reads = 0, updates = 0;
std::unique_ptr<at::ObserverContext> on_begin(const at::RecordFunction& function) {
  const std::string name = function.name();
  if (name == "aten::_fused_adamw_") ++updates;
  if (name == "aten::_local_scalar_dense" && updates == 0) ++reads;
  return nullptr;
}
void on_end(const at::RecordFunction& function, at::ObserverContext*) {
  if (std::string(function.name()) == "aten::_fused_adamw_") --updates;
}

}  // namespace

TEST_CASE("P7: steps on a device follow the CPU's losses and norms") {
  for (const quant::Mode mode : {quant::Mode::a8, quant::Mode::a4_8_fp4}) {
    INFO(quant::row_of(mode).name);
    Trained on_cpu(mode);
    std::vector<StepResult> wanted;
    for (std::int64_t step = 0; step < 4; ++step) wanted.push_back(on_cpu.step(batch(step)));
    const DeviceOnHost device;
    Trained trained(mode);
    for (std::int64_t step = 0; step < 4; ++step) {
      const StepResult found = trained.step(batch(step));
      const StepResult& cpu = wanted[static_cast<std::size_t>(step)];
      CHECK(found.rejected == "");
      CHECK(std::abs(found.loss - cpu.loss) < kRecordedTolerance * cpu.loss);
      CHECK(std::abs(found.grad_norm - cpu.grad_norm) < kRecordedTolerance * cpu.grad_norm);
    }
  }
}

TEST_CASE("N1: a step whose activations or weights are not finite is rejected on a device, and named") {
  const DeviceOnHost device;
  Trained trained(quant::Mode::a4_8);
  trained.step(batch(0));
  {
    const at::NoGradGuard no_grad;
    trained.model->model->embed_tokens->weight[3][0] = std::numeric_limits<float>::infinity();
  }
  const at::Tensor before = trained.model->model->linears()[2]->weight.detach().clone();
  const std::int64_t applied = trained.optimizer.applied();
  const StepResult result = trained.step(batch(0));
  CHECK(contains(result.rejected, "model.layers.0.self_attn.q_proj input"));
  CHECK(same_bits(trained.model->model->linears()[2]->weight.detach(), before));
  CHECK(trained.optimizer.applied() == applied);
}

TEST_CASE("P3, N2: inside a step nothing asks for a value; ids are looked at on the host before") {
  const DeviceOnHost device;
  Trained trained(quant::Mode::a4_8);
  trained.step(batch(0));
  reads = 0;
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(on_begin, on_end));
  trained.step(batch(1), 2);
  at::removeCallback(handle);
  CHECK(reads == 2 * 2);  // least and largest id of each of two micro-batches, on the CPU where they lie
}

TEST_CASE("R1: a whole run on a device, with evaluation, both stages and a resume, follows the CPU's") {
  const std::vector<std::string> more{"run.max_steps=5", "eval.interval=4", "eval.windows=2",
                                      "run.state_hash=true", "optim.warmup_steps=2"};
  TinyRun on_cpu, straight, stopped;
  REQUIRE(on_cpu.with_text(3000).train(more) == ExitCode::done);
  const DeviceOnHost device;
  REQUIRE(straight.with_text(3000).train(more) == ExitCode::done);
  REQUIRE(stopped.with_text(3000).train_and_stop(2, more) == ExitCode::stopped);
  REQUIRE(stopped.train(more) == ExitCode::done);
  CHECK(whole_state(stopped.checkpoint(5)) == whole_state(straight.checkpoint(5)));
  CHECK(stopped.logged("state_hash") == straight.logged("state_hash"));
  for (const char* kind : {"step", "eval"}) {
    const auto wanted = on_cpu.logged("loss", kind), found = straight.logged("loss", kind);
    REQUIRE(found.size() == wanted.size());
    for (const auto& [step, loss] : wanted)
      CHECK(std::abs(std::stod(found.at(step)) - std::stod(loss)) < kRecordedTolerance * std::stod(loss));
  }
}

TEST_CASE(
    "eval and generate of a checkpoint on a device: the CPU's loss in every mode; the cache changes none") {
  TinyRun tiny;
  REQUIRE(tiny.with_text(3000).train() == ExitCode::done);
  check_losses(tiny.run().string(), [&](quant::Mode mode, const auto& check) {
    const DeviceOnHost device;
    check(*open_model(tiny.run().string(), mode).model);
  });
}

TEST_CASE("a checkpoint on a GPU: without one, the reason, before anything is read") {
  if (ops::gpu_count() > 0) A48_SKIP("this machine has a GPU");
  CHECK_ERROR(open_model_on_gpu("none"), ErrorKind::no_resources, "--device cuda", ops::no_gpu_reason());
}

TEST_CASE("run.device: cuda without a GPU ends with what is missing; auto takes the CPU then") {
  if (ops::gpu_count() > 0) A48_SKIP("this machine has a GPU");
  const Error error = error_of([] { place_run(tiny_run_config({"run.device=cuda"})); });
  CHECK(error.kind() == ErrorKind::no_resources);
  CHECK(exit_code_of(error.kind()) == ExitCode::no_resources);
  CHECK(contains(error.what(), "run.device: cuda"));
  const Placement placement = place_run(tiny_run_config());
  CHECK(!placement.on_gpu());
  CHECK(placement.compute == torch::kFloat);
  CHECK(device_name(placement) == "cpu");
}

TEST_CASE("too little memory on a GPU is told with the estimate before anything is allocated") {
  const Cost cost = cost_of(tiny_run_config(), 2);
  demand_gpu_memory(cost, "some GPU", cost.memory_bytes());
  CHECK_ERROR(demand_gpu_memory(cost, "some GPU", cost.memory_bytes() - 1), ErrorKind::no_resources,
              "some GPU", "needs about");
  CHECK(cost.activation_bytes < cost_of(tiny_run_config()).activation_bytes);
}

TEST_CASE("utilisation: peaks by exact name only, rows by hand") {
  CHECK(!peaks_of("NVIDIA H100"));
  CHECK(!peaks_of("NVIDIA H100 PCIe"));
  CHECK(!peaks_of("cpu"));
  const Peaks peaks = *peaks_of("NVIDIA H200");
  CHECK(peaks.bf16_flops == 989e12);
  config::Model model;
  model.vocab_size = 100;
  model.hidden_size = 10;
  model.intermediate_size = 30;
  model.num_hidden_layers = 2;
  model.num_attention_heads = model.num_key_value_heads = 1;
  // Weights: 2·(4·10² + 3·10·30) = 2600 and a head of 1000; attention 6·2·10·8.
  CHECK(flops_per_token(model, 8) == 6.0 * 3600 + 960);
  const double all_bf16 = (6.0 * 3600 + 960) / peaks.bf16_flops;
  CHECK(std::abs(least_seconds_per_token(model, quant::row_of(quant::Mode::none).slots, 8, peaks) / all_bf16 -
                 1.0) < chain_tolerance(16, 1.0));
  const double codes = 2.0 * 2600 / peaks.int8_ops + (4.0 * 2600 + 6.0 * 1000 + 960) / peaks.bf16_flops;
  CHECK(std::abs(least_seconds_per_token(model, quant::row_of(quant::Mode::a4_8).slots, 8, peaks) / codes -
                 1.0) < chain_tolerance(16, 1.0));
}

}  // namespace a48::test
