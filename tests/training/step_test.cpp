#include "training/step.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/base/rng.h"
#include "core/ops/threads.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"
#include "tests/training/tiny_run.h"
#include "training/guard.h"

namespace a48::test {
namespace {

using namespace a48::train;

// The same sums in another order (check 33): bound of the specification.
constexpr double kSplitTolerance = 1e-5;

/// Tokens with a pattern to learn: mostly id + 1, so that ten steps move the loss.
at::Tensor batch(std::int64_t rows, std::int64_t tokens, std::uint64_t stream, std::uint64_t key) {
  const at::Tensor ids = at::empty({rows, tokens + 1}, at::kLong);
  std::int64_t* id = ids.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const std::uint64_t bits = random_bits(key, stream, static_cast<std::uint64_t>(i));
    id[i] = i % (tokens + 1) == 0 || bits % 4 == 0 ? static_cast<std::int64_t>(bits % 251)
                                                   : (id[i - 1] + 1) % 251;
  }
  return ids;
}

struct Trained {
  nn::BitNetForCausalLM model;
  AdamW optimizer;
  StepPlan plan;

  explicit Trained(const char* mode) : model(tiny_run_config().model), optimizer(parameters_of(model)) {
    ops::use_torch_threads();
    model->initialise(3);
    for (const quant::ModeRow& row : quant::kModes) {
      if (std::string(row.name) != mode) continue;
      plan.mode = row.mode;
      plan.slots = row.slots;
    }
    plan.learning_rate = 3e-3;
    plan.weight_decay = 0.1;
    model->set_slots(plan.slots);
  }
  StepResult step(const std::vector<at::Tensor>& micro_batches) {
    return train_step(model, optimizer, config::Optim{}, plan, micro_batches);
  }
};

double relative_distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

TEST_CASE("check 33: micro-batches 1x8, 8x1 and uneven ones give one loss and one gradient") {
  const at::Tensor ids = batch(8, 16, 1, seed());
  for (const char* mode : {"none", "a8", "a4.8", "a4.8-fp4"}) {
    INFO(mode);
    Trained whole(mode);
    const StepResult one = whole.step({ids});
    for (const std::vector<std::int64_t>& rows :
         {std::vector<std::int64_t>{1, 1, 1, 1, 1, 1, 1, 1}, std::vector<std::int64_t>{3, 1, 4}}) {
      Trained split(mode);
      const StepResult many = split.step(ids.split_with_sizes(rows, 0));
      CHECK(std::abs(many.loss - one.loss) <= kSplitTolerance * one.loss);
      const auto a = whole.optimizer.gradients(), b = split.optimizer.gradients();
      for (std::size_t i = 0; i < a.size(); ++i) CHECK(relative_distance(b[i], a[i]) <= kSplitTolerance);
    }
  }
}

TEST_CASE("check 33: tokens are the weights, not micro-batches") {
  // Two rows of 16 tokens and one of 4: a mean of micro-batch means would weigh the short one like the long
  // ones.
  const at::Tensor longer = batch(2, 16, 2, seed()), shorter = batch(1, 4, 3, seed());
  Trained trained("a8");
  double sum = 0.0;
  {
    const at::NoGradGuard no_grad;
    trained.model->train();
    for (const at::Tensor& ids : {longer, shorter}) sum += trained.model->loss_sum(ids).item<double>();
  }
  const StepResult result = trained.step({longer, shorter});
  CHECK(result.loss == Approx(sum / (2 * 16 + 4)).epsilon(kSplitTolerance));
}

TEST_CASE("check 7: a NaN anywhere rejects the step; parameters and moments keep every bit") {
  at::Tensor ids = batch(4, 16, 4, seed());
  ids.index_put_({0, 0}, 0);  // so that the first row of the embedding is read
  for (const char* mode : {"none", "a8", "a4.8", "a4.8-fp4"}) {
    Trained trained(mode);
    REQUIRE(trained.step({ids}).rejected.empty());
    for (const auto& [name, parameter] : trained.optimizer.parameters()) {
      INFO(mode << ", NaN in " << name);
      float* first = at::Tensor(parameter).mutable_data_ptr<float>();
      const float kept = *first;
      *first = std::numeric_limits<float>::quiet_NaN();
      trained.model->weights_changed();
      std::vector<at::Tensor> before;
      for (const auto& [n, tensor] : trained.optimizer.parameters())
        before.push_back(tensor.detach().clone());
      for (const auto& [n, tensor] : trained.optimizer.moments()) before.push_back(tensor.clone());

      CHECK_FALSE(trained.step({ids}).rejected.empty());
      CHECK(trained.optimizer.applied() == 1);
      std::size_t i = 0;
      const auto same = [&](const at::Tensor& now) {  // bit for bit: NaN equals NaN
        return std::memcmp(now.const_data_ptr(), before[i++].const_data_ptr(), now.nbytes()) == 0;
      };
      for (const auto& [n, tensor] : trained.optimizer.parameters()) CHECK(same(tensor));
      for (const auto& [n, tensor] : trained.optimizer.moments()) CHECK(same(tensor));
      *first = kept;
      trained.model->weights_changed();
    }
  }
}

TEST_CASE("check 7: a weight that is not finite rejects the step though neither loss nor gradient meets it") {
  Trained trained("a8");
  const at::Tensor embedding = trained.model->named_parameters()["model.embed_tokens.weight"].detach();
  embedding[255].fill_(std::numeric_limits<float>::infinity());  // batch() makes ids below 251
  const StepResult result = trained.step({batch(2, 16, 5, seed())});
  CHECK(std::isfinite(result.loss));
  CHECK(std::isfinite(result.grad_norm));
  CHECK(result.rejected == "a weight is not finite");
  CHECK(trained.optimizer.applied() == 0);
}

TEST_CASE("N1: a NaN that only the backward meets rejects the step as well") {
  Trained trained("a8");
  at::Tensor gain = trained.model->named_parameters()["model.norm.weight"];
  gain.register_hook(
      [](const at::Tensor& gradient) { return gradient * std::numeric_limits<float>::quiet_NaN(); });
  const at::Tensor before = gain.detach().clone();
  const StepResult result = trained.step({batch(2, 16, 5, seed())});
  CHECK(contains(result.rejected, "gradient norm"));
  CHECK(at::equal(before, gain));
}

TEST_CASE("a rejected step does not count: what follows equals a run that never had it") {
  const at::Tensor first = batch(4, 16, 6, seed()), second = batch(4, 16, 7, seed());
  Trained with("a4.8"), without("a4.8");
  with.step({first});
  without.step({first});
  float* weight = at::Tensor(with.model->named_parameters()["model.layers.0.mlp.up_proj.weight"])
                      .mutable_data_ptr<float>();
  const float kept = *weight;
  *weight = std::numeric_limits<float>::infinity();
  with.model->weights_changed();
  REQUIRE_FALSE(with.step({second}).rejected.empty());
  *weight = kept;
  with.model->weights_changed();
  const StepResult a = with.step({second}), b = without.step({second});
  CHECK(a.loss == b.loss);
  CHECK(a.param_norm == b.param_norm);  // bias correction included
}

// Ten optimizer steps per mode against recorded ones. After a change that is meant to change numbers, record
// anew with
//   A48_RECORD=1 build/tests/test_training "P7*"
constexpr const char* kGolden = "tests/golden/ten_steps.json";
constexpr int kRecordedSteps = 10;
constexpr double kRecordedRate =
    3e-4;  // a higher one turns the roundings of other CPUs into flipped codes too soon

Json ten_steps(const char* mode) {
  Trained trained(mode);
  trained.plan.learning_rate = kRecordedRate;
  Json losses = Json::array(), norms = Json::array();
  for (int step = 0; step < kRecordedSteps; ++step) {
    const StepResult result = trained.step({batch(8, 48, static_cast<std::uint64_t>(step), 77)});
    losses.push_back(result.loss);
    norms.push_back(result.grad_norm);
  }
  Json run = Json::object();
  run["loss"] = losses;
  run["grad_norm"] = norms;
  return run;
}

void record() {
  Json golden = Json::object();
  for (const char* mode : {"none", "a16", "a8", "a4.8", "a4.8-fp4"}) golden[mode] = ten_steps(mode);
  write_file(kGolden, golden.dump(1) + "\n");
}

TEST_CASE("P7: ten optimizer steps per mode give the recorded losses and norms") {
  if (std::getenv("A48_RECORD") != nullptr) record();
  const Json golden = Json::parse(read_file(kGolden), kGolden);
  for (const auto& [mode, recorded] : golden.as_object()) {
    const Json run = ten_steps(mode.c_str());
    CHECK(run.dump() == ten_steps(mode.c_str()).dump());  // two runs of one build: bit for bit
    for (const char* key : {"loss", "grad_norm"}) {
      for (std::size_t step = 0; step < kRecordedSteps; ++step) {
        INFO(mode << " " << key << " of step " << step);
        CHECK(run.at(key).as_array()[step].as_double() ==
              Approx(recorded.at(key).as_array()[step].as_double()).epsilon(kRecordedTolerance));
      }
    }
  }
}

}  // namespace
}  // namespace a48::test
