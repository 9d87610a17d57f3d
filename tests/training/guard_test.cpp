#include "training/guard.h"

#include <limits>

#include "core/ops/status.h"
#include "tests/support/catch.h"
#include "tests/training/tiny_run.h"

namespace a48::test {
namespace {

using namespace a48::train;

NamedTensors three_parameters() {
  NamedTensors parameters;
  for (const char* name : {"first", "second", "third"}) {
    parameters.emplace_back(name, at::ones({2, 2}).requires_grad_());
    parameters.back().second.mutable_grad() = at::ones({2, 2});
  }
  return parameters;
}

TEST_CASE("N4: the dump of a rejection names the tensor where it began") {
  ops::reset_non_finite();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  {
    NamedTensors parameters = three_parameters();
    for (auto& [name, parameter] : parameters)
      parameter.mutable_grad().fill_(nan);  // as a NaN weight leaves them
    parameters[1].second.detach().fill_(nan);
    const Json dump = rejection_dump({7, 0, 48, 8, "loss is nan"}, AdamW(parameters));
    CHECK(dump.at("first_bad").as_string() == "second");
    CHECK(dump.at("step").as_int() == 7);
    CHECK(dump.at("consumed").as_int() == 48);
    CHECK(dump.at("tensors").at("second").at("weight_norm").as_string() == "nan");
    CHECK(dump.at("tensors").at("first").at("weight_norm").as_double() == 2.0);
    Json::parse(dump.dump(), "dump");  // NaN and Inf must not break the file
  }
  {
    NamedTensors parameters = three_parameters();
    parameters[0].second.mutable_grad().fill_(nan);  // a backward pass reaches `first` after `second`
    parameters[1].second.mutable_grad().fill_(nan);
    CHECK(rejection_dump({7, 0, 48, 8, ""}, AdamW(parameters)).at("first_bad").as_string() == "second");
  }
  {
    ops::report_non_finite("model.layers.0.mlp.down_proj input", 3);
    CHECK(contains(rejection_dump({7, 0, 48, 8, ""}, AdamW(three_parameters())).at("first_bad").as_string(),
                   "down_proj"));
    ops::reset_non_finite();
  }
}

TEST_CASE("N3: eight rejections in a row end the run, fewer do not; only the first is dumped") {
  const TempDir folder;
  const AdamW optimizer(three_parameters());
  GuardState state;
  log::set_level(log::Level::off);
  for (int i = 0; i < 7; ++i) note_rejected(state, {i, 0, 0, 1, "loss is nan"}, optimizer, folder.path());
  note_applied(state, 1.0, 1.0);
  CHECK(state.in_a_row == 0);
  for (int i = 8; i < 15; ++i) note_rejected(state, {i, 0, 0, 1, "loss is nan"}, optimizer, folder.path());
  const Error error = error_of([&] {
    note_rejected(state, {15, 0, 0, 1, "loss is nan"}, optimizer, folder.path());
  });
  CHECK(error.kind() == ErrorKind::not_finite);
  CHECK(state.rejected == 15);
  CHECK(std::filesystem::exists(folder / "rejected-step-0.json"));
  CHECK_FALSE(std::filesystem::exists(folder / "rejected-step-1.json"));
}

TEST_CASE("N5: a step is scored against the steps before it, once there are enough") {
  GuardState state;
  for (std::size_t i = 0; i < kLeastForScore; ++i) {
    const Scores scores = note_applied(state, i % 2 == 0 ? 1.0 : 3.0, 5.0);
    CHECK_FALSE(scores.loss.has_value());
  }
  const Scores scores = note_applied(state, 6.0, 5.0);  // mean 2, standard deviation 1
  REQUIRE(scores.loss.has_value());
  CHECK(*scores.loss == Approx(4.0));
  CHECK_FALSE(scores.norm.has_value());  // no spread, no score
  for (std::size_t i = 0; i < 2 * kWindow; ++i) note_applied(state, 1.0, 1.0);
  CHECK(state.losses.size() == kWindow);
}

}  // namespace
}  // namespace a48::test
