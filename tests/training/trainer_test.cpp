#include "training/trainer.h"

#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"

namespace a48::test {
namespace {

TEST_CASE("a run through both stages leaves its record, its last checkpoint and falls in loss") {
  TinyRun tiny;
  tiny.with_text(6000);
  REQUIRE(tiny.train({"run.max_steps=60", "eval.interval=20"}) == ExitCode::done);
  const auto losses = tiny.logged("loss");
  REQUIRE(losses.size() == 60);
  CHECK(std::stod(losses.at(60)) < 0.6 * std::stod(losses.at(1)));
  CHECK(tiny.events("stage").size() == 2);
  CHECK(tiny.events("end").size() == 1);
  CHECK(std::filesystem::exists(tiny.checkpoint(60) / "manifest.json"));
}

}  // namespace
}  // namespace a48::test
