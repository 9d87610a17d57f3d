#include "training/metrics.h"

#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/cost.h"

namespace a48::test {
namespace {

using namespace a48::train;

StepRecord some_step() {
  StepRecord step;
  step.step = 12;
  step.stage = 1;
  step.mode = "a8";
  step.tokens = 1536;
  step.step_tokens = 128;
  step.loss = 1.0 / 3.0;
  step.learning_rate = 1e-3 / 7.0;
  step.grad_norm = 0.1;
  step.param_norm = 12.5;
  step.seconds = 0.25;
  step.data_seconds = 0.0025;
  return step;
}

TEST_CASE("doubles of metrics.jsonl read back bit-identical; what there is not is null") {
  const TempDir run;
  Metrics metrics(run.path());
  metrics.write(some_step());
  const Json event = Json::parse(read_file(run / "metrics.jsonl"), "metrics.jsonl");
  CHECK(event.at("event").as_string() == "step");
  CHECK(event.at("loss").as_double() == 1.0 / 3.0);
  CHECK(event.at("lr").as_double() == 1e-3 / 7.0);
  CHECK(event.at("tok_s").as_double() == 512.0);
  CHECK(event.at("mfu").is_null());
  CHECK(event.at("z_loss").is_null());
}

TEST_CASE("the console line tells throughput of its interval and the time that is left") {
  Meter meter(100);
  StepRecord step = some_step();
  meter.add(step);
  step.step = 13;
  meter.add(step);
  const std::string line = meter.line(step, 22.0);
  CHECK(contains(line, "step 13/100 a8 | loss 0.3333 | "));
  CHECK(contains(line, "512 tok/s"));
  CHECK(contains(line, "MFU n/a SOL n/a"));
  CHECK(contains(line, "data 1.0%"));
  CHECK(contains(line, "eta 0:00:22"));
  CHECK(meter.empty());
}

TEST_CASE("numbers and times for people") {
  CHECK(short_number(999) == "999");
  CHECK(short_number(151234) == "151.2k");
  CHECK(short_number(999990) == "1.0M");
  CHECK(short_number(6.12e10) == "61.2G");
  CHECK(clock_time(11565) == "3:12:45");
}

TEST_CASE("what a run costs follows from its configuration") {
  const config::RunConfig config = tiny_run_config({"stages.1.data.sequence_length=8"});
  const Cost cost = cost_of(config);
  CHECK(cost.tokens == 8 * (12 * 16 + 8 * 8));
  CHECK(cost.state_bytes == 16 * cost.parameters);
  CHECK(contains(describe(cost, config, 100), "1.60 epochs"));
}

TEST_CASE("sizes too large for any machine saturate instead of turning negative") {
  const Cost cost = cost_of(
      tiny_run_config({"run.max_steps=1e9", "run.global_batch_size=1048576", "model.vocab_size=2000000",
                       "data.sequence_length=1048576", "model.max_position_embeddings=1048576"}));
  CHECK(cost.tokens > 1'000'000'000'000'000'000);
  CHECK(cost.activation_bytes > 0);
}

TEST_CASE("small sizes are not 0.00 GB; a full disk is told with what to do") {
  const config::RunConfig config = tiny_run_config();
  const std::string text = describe(cost_of(config), config, 100);
  CHECK(contains(text, "disk: "));
  CHECK_FALSE(contains(text, "0.00 GB"));
  CHECK(contains(text, " kB a checkpoint"));
  Cost cost = cost_of(config);
  cost.checkpoint_bytes = std::int64_t{1} << 60;
  const TempDir run;
  const Error error = error_of([&] { demand_resources(cost, run.path()); });
  CHECK(error.kind() == ErrorKind::no_resources);
  CHECK(contains(error.what(), "make room there, or set run.dir"));
}

}  // namespace
}  // namespace a48::test
