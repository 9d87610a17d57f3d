#include "training/stages.h"

#include <algorithm>
#include <random>

#include "core/config/load.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"
#include "tests/training/tiny_run.h"

namespace a48::test {
namespace {

using namespace a48::train;

/// The 700M recipe of numerics.md 6: 95,368 steps, 5 % of them in stage 2.
config::RunConfig paper_700m() {
  return config::load_json(Json::parse(R"({"recipe": "a4.8", "model": {"preset": "700M"},
      "optim": {"learning_rate": 1.5e-3, "second_learning_rate": 1e-3, "min_lr": 3e-5, "warmup_steps": 375},
      "data": {"path": "corpus"}, "run": {"dir": "runs/700M", "max_steps": 95368, "global_batch_size": 512}})",
                                       "700M"),
                           "700M");
}

/// One line of the schedule at full warmth, in the order of the specification's formula.
double line(double peak, double floor, double s, double total) {
  return floor + (peak - floor) * (1.0 - s / total);
}

TEST_CASE("check 30: lr, decay and stage of the 700M preset at every mark") {
  const config::RunConfig config = paper_700m();
  const std::int64_t total = 95368, half = total / 2, second = 95368 - 4768;  // floor(0.05·S + 0.5) = 4768
  const double p1 = 1.5e-3, p2 = 1e-3, f = 3e-5;
  REQUIRE(config::stage_end(config, 0) == second);
  REQUIRE(config::stage_end(config, 1) == total);

  struct Mark {
    std::int64_t step;
    double lr, decay;
    std::size_t stage;
    const char* mode;
  };
  const auto S = static_cast<double>(total);
  const Mark marks[] = {
      {0, line(p1, f, 0, S) / 375.0, 0.1, 0, "a8"},
      {374, line(p1, f, 374, S), 0.1, 0, "a8"},
      {half - 1, line(p1, f, static_cast<double>(half - 1), S), 0.1, 0, "a8"},
      {half, line(p2, f, static_cast<double>(half), S), 0.0, 0, "a8"},
      {second - 1, line(p2, f, static_cast<double>(second - 1), S), 0.0, 0, "a8"},
      {second, line(p2, f, static_cast<double>(second), S), 0.0, 1, "a4.8"},
      {total - 1, line(p2, f, S - 1, S), 0.0, 1, "a4.8"},
  };
  for (const Mark& mark : marks) {
    INFO("step " << mark.step);
    const StepPlan plan = plan_step(config, mark.step);
    CHECK(plan.learning_rate == Approx(mark.lr).epsilon(1e-14));
    CHECK(plan.weight_decay == mark.decay);
    CHECK(plan.stage == mark.stage);
    CHECK(quant::row_of(plan.mode).name == std::string(mark.mode));
  }
  // The values that numerics.md 6 prints, to the digits printed.
  CHECK(plan_step(config, half - 1).learning_rate == Approx(7.65e-4).margin(5e-7));
  CHECK(plan_step(config, half).learning_rate == Approx(5.15e-4).margin(5e-7));
  CHECK(plan_step(config, second).learning_rate == Approx(7.85e-5).margin(5e-8));  // printed as 7.9e-5
  CHECK(plan_step(config, total - 1).learning_rate == Approx(3e-5).margin(5e-7));
}

TEST_CASE("every schedule starts warm-up at 1/W, peaks after it and ends at its floor") {
  config::Optim optim;
  optim.learning_rate = 1e-2;
  optim.second_learning_rate = 1e-2;
  optim.min_lr = 1e-4;
  optim.warmup_steps = 10;
  optim.decay_start = 0.8;
  const std::int64_t total = 1000;
  const auto lr = [&](std::int64_t step) { return learning_rate(optim, step, total); };

  optim.schedule = config::Schedule::constant;
  CHECK(lr(0) == Approx(1e-3).epsilon(1e-14));
  CHECK(lr(8) == Approx(9e-3).epsilon(1e-14));
  CHECK(lr(9) == 1e-2);
  CHECK(lr(999) == 1e-2);

  optim.schedule = config::Schedule::linear;
  CHECK(lr(0) == Approx(1e-3).epsilon(1e-14));
  CHECK(lr(500) == Approx(1e-4 + 9.9e-3 * 0.5).epsilon(1e-14));
  CHECK(lr(999) == Approx(1e-4 + 9.9e-3 * 0.001).epsilon(1e-12));

  optim.schedule = config::Schedule::cosine;
  CHECK(lr(10) == 1e-2);
  CHECK(lr(505) == Approx(1e-4 + 9.9e-3 * 0.5).epsilon(1e-12));
  CHECK(lr(999) < 1.1e-4);

  optim.schedule = config::Schedule::wsd;
  for (const auto shape :
       {config::DecayShape::linear, config::DecayShape::cosine, config::DecayShape::sqrt}) {
    optim.decay_shape = shape;
    CHECK(lr(9) == 1e-2);
    CHECK(lr(799) == 1e-2);
    CHECK(lr(800) == 1e-2);  // the tail starts at its peak
    CHECK(lr(801) < 1e-2);
    CHECK(lr(999) > 1e-4);
    CHECK(lr(999) < 3e-4);
  }
  optim.decay_shape = config::DecayShape::linear;
  CHECK(lr(900) == Approx(1e-4 + 9.9e-3 * 0.5).epsilon(1e-12));
  optim.decay_shape = config::DecayShape::sqrt;
  CHECK(lr(850) == Approx(1e-4 + 9.9e-3 * 0.5).epsilon(1e-12));

  optim.warmup_steps = 0;
  CHECK(lr(0) == 1e-2);
}

TEST_CASE("weight decay holds for its share of the steps") {
  config::Optim optim;
  optim.weight_decay = 0.1;
  optim.weight_decay_until = 0.5;
  CHECK(weight_decay(optim, 499, 1000) == 0.1);
  CHECK(weight_decay(optim, 500, 1000) == 0.0);
  CHECK(weight_decay(optim, 500, 1001) == 0.1);  // 500 < 500.5
  optim.weight_decay_until = 1.0;
  CHECK(weight_decay(optim, 999, 1000) == 0.1);
}

TEST_CASE("a plan depends on the step alone, in any order of calls") {
  const config::RunConfig config = paper_700m();
  std::vector<std::int64_t> steps;
  for (std::int64_t s = 0; s < config.run.max_steps; s += 997) steps.push_back(s);
  std::vector<double> in_order;
  for (const std::int64_t s : steps) in_order.push_back(plan_step(config, s).learning_rate);
  std::vector<std::size_t> order(steps.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937_64(seed()));
  for (const std::size_t i : order) CHECK(plan_step(config, steps[i]).learning_rate == in_order[i]);
}

TEST_CASE("a stage with other data starts a stream of its own, one with other quantizers does not") {
  config::RunConfig config = tiny_run_config();
  CHECK(streams_of(config) == std::vector<std::uint64_t>{0, 0});
  config.stages[1].data.sequence_length = 8;
  CHECK(streams_of(config) == std::vector<std::uint64_t>{0, 1});
}

TEST_CASE("checkpoints just before a switch are known by their step") {
  const config::RunConfig config = tiny_run_config();  // 20 steps, a8 until 0.6
  CHECK(before_switch(config, 12));
  CHECK_FALSE(before_switch(config, 11));
  CHECK_FALSE(before_switch(config, 20));
  CHECK(stage_reached(config, 0) == 0);
  CHECK(stage_reached(config, 12) == 0);
  CHECK(stage_reached(config, 13) == 1);
  CHECK(stage_reached(config, 20) == 1);
}

}  // namespace
}  // namespace a48::test
