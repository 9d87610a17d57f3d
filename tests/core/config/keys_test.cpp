#include "core/config/keys.h"

#include <set>

#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;

TEST_CASE("every key has a path of its own, help and an allowed range or type") {
  std::set<std::string> paths;
  for (const Key& key : all_keys()) {
    CHECK(paths.insert(key.path()).second);
    CHECK_FALSE(key.help.empty());
    CHECK_FALSE(key.type.empty());
    CHECK(find_key(key.path()) == &key);
  }
}

TEST_CASE("a stage's keys are found by index, its blocks as those of the run") {
  CHECK(find_key("stages.3.mode")->path() == "stages.N.mode");
  CHECK(find_key("stages.0.optim.min_lr")->path() == "optim.min_lr");
  CHECK(find_key("stages.x.mode") == nullptr);
  CHECK(find_key("model") == nullptr);
  CHECK(find_key("") == nullptr);
}

TEST_CASE("names of other programs are answered with ours, and each of ours exists") {
  for (const char* const theirs :
       {"n_layer", "n_head", "n_embd", "block_size", "max_lr", "per_device_train_batch_size", "max_grad_norm",
        "lr", "gradient_accumulation_steps", "max_iters"}) {
    const std::string ours = ours_for_foreign(theirs);
    INFO(theirs);
    REQUIRE_FALSE(ours.empty());
    CHECK(find_key(ours) != nullptr);
    CHECK(
        holds(problems_with({std::string("model.") + theirs + "=1"}), "here it is called \"" + ours + "\""));
  }
  CHECK(ours_for_foreign("hidden_size").empty());
}

}  // namespace a48::test
