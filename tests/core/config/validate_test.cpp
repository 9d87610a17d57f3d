#include "core/config/validate.h"

#include <algorithm>

#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;
namespace {

/// The one violation that changing a valid configuration gives.
std::string violation(const std::function<void(RunConfig&)>& change) {
  RunConfig config = example();
  REQUIRE(violations(config).empty());
  change(config);
  const std::vector<std::string> found = violations(config);
  if (found.size() != 1) {
    for (const std::string& text : found) UNSCOPED_INFO(text);
    FAIL("expected one violation, found " << found.size());
  }
  return found[0];
}

}  // namespace

TEST_CASE("check 37: the hidden size is a multiple of the heads") {
  CHECK(holds(violation([](RunConfig& c) { c.model.hidden_size = 193; }),
              "model.hidden_size: 193 is not a multiple of model.num_attention_heads, 3"));
}

TEST_CASE("check 37: the heads are a multiple of the key/value heads") {
  CHECK(holds(violation([](RunConfig& c) { c.model.num_key_value_heads = 2; }),
              "model.num_key_value_heads: 2 does not divide"));
}

TEST_CASE("the head size is even") {
  CHECK(holds(violation([](RunConfig& c) { c.model.hidden_size = 189; }), "gives the head size 63"));
}

TEST_CASE("special ids are in the vocabulary") {
  CHECK(holds(violation([](RunConfig& c) { c.model.bos_token_id = 2048; }), "model.bos_token_id: 2048"));
  CHECK(holds(violation([](RunConfig& c) { c.model.eos_token_id = 5000; }), "model.eos_token_id: 5000"));
}

TEST_CASE("stages are in order, the last ends with the run, none is empty") {
  CHECK(holds(violation([](RunConfig& c) {
                c.stages.insert(c.stages.begin() + 1, c.stages[0]);
                c.stages[1].until = 0.5;
              }),
              "stages.1.until: 0.5 is not above stages.0.until, 0.95"));
  CHECK(holds(violation([](RunConfig& c) { c.stages[1].until = 0.99; }),
              "stages.1.until: 0.99; the last stage ends at 1.0"));
  CHECK(holds(violation([](RunConfig& c) { c.run.max_steps = 9; }),
              "stages.1.until: 1 leaves the stage no step"));
  CHECK(violations(example({"run.max_steps=10"})).empty());
}

TEST_CASE("sequences fit the positions, in every stage") {
  CHECK(holds(violation([](RunConfig& c) { c.model.max_position_embeddings = 255; }),
              "data.sequence_length: 256 is above"));
  CHECK(holds(violation([](RunConfig& c) { c.stages[1].data.sequence_length = 512; }),
              "stages.1.data.sequence_length: 512 is above"));
}

TEST_CASE("the global batch holds whole micro batches") {
  CHECK(holds(violation([](RunConfig& c) { c.run.micro_batch_size = 5; }),
              "run.global_batch_size: 16 is not a multiple of run.micro_batch_size, 5"));
}

TEST_CASE("the floor of the learning rate is below its peaks") {
  CHECK(holds(violation([](RunConfig& c) {
                c.optim.min_lr = c.stages[0].optim.min_lr = c.stages[1].optim.min_lr = 1.9e-3;
              }),
              "optim.min_lr: 0.0019 is above optim.second_learning_rate"));
  CHECK(holds(violation([](RunConfig& c) { c.stages[1].optim.second_learning_rate = 1e-5; }),
              "stages.1.optim.min_lr"));
  CHECK(problems_with({"optim.schedule=constant", "optim.min_lr=1"}).empty());
  CHECK(holds(problems_with({"optim.schedule=cosine", "optim.min_lr=1"}),
              "optim.min_lr: 1 is above optim.learning_rate"));
}

TEST_CASE("C5: options that exclude each other are refused") {
  CHECK(problems_with({"run.backward_dtype=bf16"}).empty());  // whether this CPU has it, the trainer asks
  CHECK(holds(problems_with({"run.compute_dtype=bf16", "run.device=cpu"}),
              "run.compute_dtype: bf16 needs run.device=cuda"));
  CHECK(problems_with({"run.compute_dtype=bf16", "run.device=cuda"}).empty());
  CHECK(holds(problems_with({"run.attention_impl=exact", "run.device=cuda"}), "run.attention_impl: exact"));
  CHECK(holds(problems_with({"run.head_impl=exact", "run.device=cuda"}), "run.head_impl: exact"));
  CHECK(problems_with({"run.attention_impl=exact", "run.head_impl=exact"}).empty());
  CHECK(holds(problems_with({"run.recompute_glu=true"}), "run.recompute_glu: true needs run.device=cuda"));
  CHECK(problems_with({"run.recompute_glu=true", "run.device=cuda"}).empty());
  CHECK(holds(problems_with({"init.optimizer=true"}), "init.optimizer: true needs init.from"));
  CHECK(problems_with({"init.optimizer=true", "init.from=runs/a"}).empty());
}

TEST_CASE("a run has a folder, and shards unless it is mock data") {
  CHECK(holds(problems_with({"run.dir="}), "run.dir: missing"));
  CHECK(holds(problems_with({"data.path="}),
              "data.path: missing; expected the folder that `a48 prepare --out` wrote"));
  CHECK(problems_with({"data.path=", "data.kind=mock"}).empty());
}

TEST_CASE("what may surprise later is a warning") {
  const auto warns = [](const std::vector<std::string>& overrides, const char* part) {
    const std::vector<std::string> found = warnings(example(overrides));
    return std::ranges::any_of(found, [&](const std::string& text) { return holds(text, part); });
  };
  CHECK(warns({}, "TQ2_0"));
  CHECK(warns({}, "I2_S"));
  CHECK(warns({}, "relu2 cannot be exported"));
  CHECK_FALSE(warns({}, "warmup"));
  CHECK(warns({"optim.warmup_steps=1000"}, "optim.warmup_steps: 1000 of 1000 steps"));
  CHECK(warns({"model.intermediate_size=510"}, "packed Hugging Face"));
  CHECK(warnings(example({"model.hidden_size=768", "model.hidden_act=silu"})).empty());
}

}  // namespace a48::test
