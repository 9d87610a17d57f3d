// R1: a straight run and the same run, stopped and resumed twice, are equal bit for bit: state, every logged
// loss and norm.
#include <cstring>
#include <fstream>

#include "core/base/cpu.h"
#include "core/format/safetensors.h"
#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"
#include "training/session.h"

namespace a48::test {
namespace {

namespace fs = std::filesystem;

// About 100 windows of 16 tokens: 20 steps of 8 sequences end an epoch inside step 13, and the stage switches
// after step 12.
constexpr std::size_t kTextBytes = 2000;

struct Case {
  const char* name;
  std::vector<std::string> overrides;
  std::int64_t first_stop, second_stop;  // steps done
};

const Case kCases[] = {
    {"both stops in stage 1", {}, 4, 9},
    {"at the switch and after an epoch end", {}, 12, 15},
    {"around the switch", {}, 11, 13},
    {"at half the run, where decay and line change, and in stage 2", {}, 10, 17},
    {"without accumulation", {"run.micro_batch_size=8"}, 7, 14},
    {"one sequence at a time", {"run.micro_batch_size=1"}, 5, 12},
    {"one thread", {"run.threads=1"}, 6, 13},
    {"stage 2 in FP4", {"stages.1.mode=a4.8-fp4"}, 11, 16},
    {"stage 2 reads shorter sequences from a stream of its own", {"stages.1.data.sequence_length=8"}, 9, 14},
    {"backward products in bf16", {"run.backward_dtype=bf16"}, 11, 13},
    {"exact attention and head", {"run.attention_impl=exact", "run.head_impl=exact"}, 12, 13},
};

void demand_equal(const TinyRun& straight, const TinyRun& stopped, std::int64_t last) {
  for (const char* key : {"loss", "grad_norm", "param_norm", "lr", "wd", "tokens", "rejected", "z_loss",
                          "z_norm", "state_hash"}) {
    INFO(key);
    const auto expected = straight.logged(key), found = stopped.logged(key);
    CHECK(expected.size() == static_cast<std::size_t>(last));
    CHECK(expected == found);
  }
  CHECK(straight.logged("loss", "eval") == stopped.logged("loss", "eval"));
  CHECK(whole_state(straight.checkpoint(last)) == whole_state(stopped.checkpoint(last)));
}

TEST_CASE("R1, check 32: a straight run equals the run stopped and resumed twice, bit for bit") {
  for (const Case& c : kCases) {
    INFO(c.name);
    if (contains(c.name, "bf16") && !cpu_has_bf16()) continue;
    std::vector<std::string> overrides = c.overrides;
    overrides.insert(overrides.end(), {"run.state_hash=true", "eval.interval=5"});
    TinyRun straight(overrides), stopped(overrides);
    straight.with_text(kTextBytes);
    stopped.with_text(kTextBytes);
    REQUIRE(straight.train() == ExitCode::done);
    REQUIRE(stopped.train_and_stop(c.first_stop) == ExitCode::stopped);
    REQUIRE(fs::exists(stopped.checkpoint(c.first_stop)));
    REQUIRE(stopped.train_and_stop(c.second_stop - c.first_stop) == ExitCode::stopped);
    REQUIRE(stopped.train() == ExitCode::done);
    CHECK(stopped.events("resume").size() == 2);
    for (const Json& resume : stopped.events("resume")) CHECK(resume.at("bitwise").as_bool());
    demand_equal(straight, stopped, 20);
  }
}

TEST_CASE("R1: a run that was killed goes on from its last checkpoint and ends with the same bits") {
  TinyRun straight({"run.save_interval=4", "run.state_hash=true"}),
      killed({"run.save_interval=4", "run.state_hash=true"});
  REQUIRE(straight.train() == ExitCode::done);
  REQUIRE(killed.train_and_stop(10) == ExitCode::stopped);
  fs::remove_all(
      killed.checkpoint(10));  // as if the process had died in step 11: the last save is that of step 8
  std::ofstream(killed.run() / "checkpoints/latest") << "step-00000008\n";
  std::ofstream(killed.run() / "metrics.jsonl", std::ios::app)
      << R"({"event": "step", "st)";  // a line cut by the kill
  REQUIRE(killed.train() == ExitCode::done);
  demand_equal(straight, killed, 20);
}

TEST_CASE("check 31: moments before and after the switch are bit-equal, and the graph after it is a4.8") {
  // Entering a stage touches no weight, no moment and no counter: two stages of one mode are one stage.
  TinyRun eight({"stages.1.mode=a8", "run.state_hash=true"}),
      one({R"(stages=[{"mode": "a8", "until": 1.0}])", "run.state_hash=true"});
  REQUIRE(eight.train() == ExitCode::done);
  REQUIRE(one.train() == ExitCode::done);
  CHECK(eight.logged("state_hash") == one.logged("state_hash"));

  // The step after the switch starts from the state of the step before it; the loss tells the graphs apart.
  TinyRun tiny({"run.state_hash=true"});
  REQUIRE(tiny.train() == ExitCode::done);
  REQUIRE(fs::exists(tiny.checkpoint(12)));  // the checkpoint just before stage 2
  const auto modes = tiny.logged("mode");
  CHECK(modes.at(12) == "\"a8\"");
  CHECK(modes.at(13) == "\"a4.8\"");
  CHECK(eight.logged("state_hash").at(12) == tiny.logged("state_hash").at(12));
  CHECK(eight.logged("loss").at(13) != tiny.logged("loss").at(13));
}

TEST_CASE("check 31: entering stage 2 leaves every moment of AdamW as the checkpoint before it holds it") {
  TinyRun tiny;
  REQUIRE(tiny.train_and_stop(12) == ExitCode::stopped);  // the last step of stage 1
  train::Session session(train::prepare_launch(tiny.request()));
  session.restore();
  const format::SafetensorsFile saved(tiny.checkpoint(12) / "optimizer.safetensors");
  const auto demand_saved = [&] {
    const train::NamedTensors moments = session.optimizer.moments();
    REQUIRE(moments.size() == saved.tensors().size());
    for (const auto& [name, moment] : moments) {
      INFO(name);
      const auto bytes = saved.bytes(*saved.find(name));
      REQUIRE(bytes.size() == moment.nbytes());
      CHECK(std::memcmp(bytes.data(), moment.const_data_ptr(), bytes.size()) == 0);
      CHECK(moment.count_nonzero().item<std::int64_t>() > 0);
    }
    CHECK(session.optimizer.applied() == 12);
  };
  demand_saved();
  const train::StepPlan plan = train::plan_step(session.config, 12);
  session.enter_stage(plan);
  demand_saved();
  CHECK(session.model->slots() == quant::row_of(quant::Mode::a4_8).slots);
}

TEST_CASE("D4: evaluation, samples and logging change no bit of training") {
  TinyRun plain({"run.state_hash=true"});
  TinyRun busy({"run.state_hash=true", "eval.interval=1", "eval.prompts=[\"light and\"]",
                "eval.sample_tokens=4", "run.save_interval=3", "run.log_interval=1"});
  plain.with_text(kTextBytes);
  busy.with_text(kTextBytes);
  REQUIRE(plain.train() == ExitCode::done);
  REQUIRE(busy.train() == ExitCode::done);
  CHECK(plain.logged("state_hash") == busy.logged("state_hash"));
  CHECK(plain.logged("loss") == busy.logged("loss"));
  CHECK(busy.events("sample").size() == 20);
}

TEST_CASE("K6: a finished run can be extended; under a constant schedule it equals the long run") {
  const std::vector<std::string> one_stage{R"(stages=[{"mode": "a8", "until": 1.0}])",
                                           "optim.schedule=constant", "optim.weight_decay_until=1",
                                           "run.state_hash=true"};
  TinyRun longer(one_stage), extended(one_stage);
  REQUIRE(longer.train({"run.max_steps=14"}) == ExitCode::done);
  REQUIRE(extended.train({"run.max_steps=8"}) == ExitCode::done);
  REQUIRE(extended.train({"run.max_steps=14"}) == ExitCode::done);
  demand_equal(longer, extended, 14);
}

TEST_CASE("V1: the end measures what each quantizer costs; a sample repeats") {
  TinyRun tiny({"eval.prompts=[\"light\"]"});
  tiny.with_text(kTextBytes);
  REQUIRE(tiny.train() == ExitCode::done);
  const Json results = Json::parse(read_file(tiny.run() / "results.json"), "results.json");
  for (const char* mode : {"a4.8", "a8", "a16"})
    CHECK(results.at("validation_loss").at(mode).as_double() > 0.0);
  CHECK(results.at("mode").as_string() == "a4.8");
  CHECK(tiny.events("sample").size() == 1);
}

}  // namespace
}  // namespace a48::test
