#include "training/forecast.h"

#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/checkpoint.h"
#include "training/stages.h"
#include "training/step.h"

namespace a48::test {
namespace {

using namespace a48::train;

TEST_CASE("evaluations and saves still to come are counted as the loop makes them") {
  for (const char* intervals : {"0", "1", "5", "6", "7", "40"}) {
    const config::RunConfig config =
        tiny_run_config({concat("eval.interval=", intervals),
                         concat("run.save_interval=", intervals)});  // 20 steps, switch at 12
    for (std::int64_t done = 0; done <= 20; ++done) {
      INFO("interval " << intervals << ", " << done << " steps done");
      std::int64_t evaluations = static_cast<std::int64_t>(closing_modes(config).size()), saves = 0;
      for (std::int64_t step = done + 1; step <= 20; ++step) {
        evaluations += evaluation_planned(config, step);
        saves += save_planned(config, step);
      }
      CHECK(evaluations_after(config, done) == evaluations);
      CHECK(saves_after(config, done) == saves);
    }
  }
}

TEST_CASE("the time that is left holds steps of every stage, evaluations and saves") {
  const config::RunConfig config = tiny_run_config({"eval.interval=5", "run.save_interval=10"});
  Forecast forecast(config, true);
  forecast.start({.step = {2.0, 3.0}, .evaluation = 10.0, .save = {}});
  // 12 steps of stage 1, 8 of stage 2; evaluations at 5, 10, 12, 15, 20 and two closing ones.
  CHECK(forecast.seconds_left(0) == 12 * 2.0 + 8 * 3.0 + 7 * 10.0);
  CHECK(contains(forecast.describe(0), "about 0:01:58 for 20 steps and 7 evaluations, saves not counted"));
  forecast.add_save(1.0);  // at 10, 12, 20
  CHECK(forecast.seconds_left(0) == 12 * 2.0 + 8 * 3.0 + 7 * 10.0 + 3 * 1.0);
  forecast.add_step(0, 4.0);  // twice as slow as measured: so will stage 2 be
  forecast.add_evaluation(20.0);
  CHECK(forecast.seconds_left(10) == 2 * 4.0 + 8 * 6.0 + 5 * 20.0 + 2 * 1.0);
  CHECK(forecast.seconds_left(20) == 2 * 20.0);
  Forecast without(config, false);
  without.start({.step = {2.0, 3.0}, .evaluation = {}, .save = {}});
  CHECK(without.seconds_left(0) == 12 * 2.0 + 8 * 3.0);
}

TEST_CASE("measuring the costs changes neither weights nor moments, and leaves no gradient") {
  const config::RunConfig config = tiny_run_config();
  nn::BitNetForCausalLM model(config.model);
  model->initialise(1);
  AdamW optimizer(parameters_of(model));
  const std::string before = state_hash(optimizer);
  const Costs costs = measure_costs(config, model, optimizer, 0, 1000);
  REQUIRE(costs.step.size() == 2);
  for (const double seconds : costs.step) CHECK(seconds > 0.0);
  CHECK(costs.evaluation.value() > 0.0);
  CHECK(state_hash(optimizer) == before);
  for (const auto& [name, parameter] : optimizer.parameters()) CHECK_FALSE(parameter.grad().defined());
  CHECK(measure_costs(config, model, optimizer, 1, 0).step[0] == 0.0);  // a stage that is over
}

}  // namespace
}  // namespace a48::test
