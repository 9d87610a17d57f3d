// C1 to C5 of training.md 1.1: the layers, and one bad document per rule of parsing.
#include "core/config/load.h"

#include <algorithm>

#include "core/config/print.h"
#include "tests/core/config/example.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace a48::test {
using namespace config;

TEST_CASE("C1: a document fills the structs; what it leaves out has its default") {
  const RunConfig config = example();
  CHECK(config.model.hidden_size == 192);
  CHECK(config.model.num_key_value_heads == 3);  // resolved: as the query heads
  CHECK(config.model.rope_theta == 10000.0);
  REQUIRE(config.stages.size() == 2);
  CHECK(config.stages[1].mode == quant::Mode::a4_8);
  CHECK(config.optim.second_learning_rate == 1.3e-3);
  CHECK(config.run.keep_last == 3);
}

TEST_CASE("C1: unknown keys are refused with their path and the nearest key, siblings first") {
  CHECK(holds(problems_with({"model.hiden_size=4"}),
              "model.hiden_size (command line): unknown key; did you mean \"model.hidden_size\"?"));
  CHECK(holds(problems_with({"modle.hidden_size=4"}), "did you mean \"model\"?"));
  CHECK(holds(problems_with({"model.sead=4"}), "did you mean \"run.seed\"?"));
  CHECK(holds(problems_with({"learning_rate=4"}), "did you mean \"optim.learning_rate\"?"));
  CHECK(holds(problems_with({"stages.0.optim.beta3=0.5"}), "did you mean \"stages.0.optim.beta1\"?"));
  CHECK(holds(problems_with({"stages.0.untill=1"}), "did you mean \"stages.0.until\"?"));
  CHECK(holds(problems_with({"run.zzzzzzzzzzzz=1"}), "unknown key; allowed: dir, max_steps"));
  CHECK(holds(problems_with({"stages.0.model.hidden_size=4"}), "stages.0.model (command line): unknown key"));
}

TEST_CASE("C1: wrong types, ranges and choices are refused with what was found and what is allowed") {
  CHECK(holds(problems_with({"run.seed=\"one\""}),
              "run.seed (command line): expected an integer, found the string \"one\"; allowed: 0 … "
              "9007199254740991"));
  CHECK(holds(problems_with({"run.seed=1.5"}), "expected an integer, found the number 1.5"));
  CHECK(holds(problems_with({"run.seed=9007199254740992"}), "9007199254740992 is out of range"));
  CHECK(holds(problems_with({"run.max_steps=0"}), "0 is out of range; allowed: 1 … 1000000000"));
  CHECK(holds(problems_with({"optim.learning_rate=0"}), "0 is out of range; allowed: above 0 up to 10"));
  CHECK(holds(problems_with({"optim.learning_rate=true"}), "expected a number, found the boolean true"));
  CHECK(holds(problems_with({"model.sub_norm=1"}), "expected true or false, found the integer 1"));
  CHECK(holds(problems_with({"model.hidden_act=relu3"}), "did you mean \"relu2\"?; allowed: relu2, silu"));
  CHECK(holds(problems_with({"model.hidden_act=null"}), "expected a string, found the null"));
  CHECK(holds(problems_with({"eval.prompts=[1]"}), "expected a list of strings"));
  CHECK(holds(problems_with({"model=3"}), "model (command line): expected an object"));
  CHECK(holds(problems_with({"stages=[]"}), "expected a list of at least one stage"));
  CHECK(holds(problems_with({"stages=[3]"}), "stages.0 (command line): expected an object"));
  CHECK(holds(problems_of("[]"), "expected an object with the blocks"));
}

TEST_CASE("C1: integers may be written 1e6") {
  CHECK(example({"run.max_steps=1e6"}).run.max_steps == 1000000);
  CHECK(example({"run.max_steps=2000.0"}).run.max_steps == 2000);
}

TEST_CASE("C1: syntax errors and duplicate keys name line and column") {
  CHECK(holds(problems_of("{\n  \"run\": {\"seed\": 1,}\n}"), "file.json:2:"));
  const std::string text = "{\"run\": {\"seed\": 1,\n \"seed\": 2}, \"run\": {}}";
  CHECK(holds(problems_of(text), "line 2:2: duplicate key \"run.seed\""));
  CHECK(holds(problems_of(text), "duplicate key \"run\""));
}

TEST_CASE("C1: all problems of all kinds come in one error") {
  const std::string text =
      problems_with({"run.sed=1", "run.max_steps=x", "model.hidden_size=193", "foo", "stages.1.until=0.99"});
  for (const char* const part : {"5 problems", "run.seed", "run.max_steps", "193 is not a multiple",
                                 "\"foo\" is no override", "ends at 1.0"})
    CHECK(holds(text, part));
}

TEST_CASE("a rule between fields is silent where one of its fields was not understood") {
  const std::string text = problems_with({"model.hidden_size=x"});
  CHECK(holds(text, "model.hidden_size (command line): expected an integer"));
  CHECK_FALSE(holds(text, "multiple"));
}

TEST_CASE(
    "check 37: a slot value that does not exist, a keep outside (0, 1] and a v2 mode are refused by name") {
  CHECK(holds(problems_with({"quant.qkv=int5"}), "quant.qkv (command line): \"int5\" is not a choice"));
  CHECK(holds(problems_with({"stages.1.quant.o=ternary"}),
              "stages.1.quant.o (command line): \"ternary\" is not a choice"));
  CHECK(holds(problems_with({"quant.topk_keep_o=0"}),
              "quant.topk_keep_o (command line): 0 is out of range; allowed: above 0 up to 1"));
  CHECK(holds(problems_with({"quant.topk_keep_o=1.01"}), "out of range"));
  CHECK(holds(problems_with({"stages.1.mode=v2"}), "\"v2\" is not available yet"));
  CHECK(holds(problems_with({"stages.1.mode=v2-a8"}), "\"v2-a8\" is not available yet"));
}

TEST_CASE("ablation slots parse") {
  const RunConfig config =
      example({"quant.weights=fp", "stages.1.quant.qkv=int4-absmax", "stages.1.quant.gate_up=fp4-e1m2",
               "quant.down=int4-absmean2", "quant.topk_keep_o=0.75"});
  CHECK(config.stages[1].quant.qkv == quant::Scheme::int4_absmax);
  CHECK(config.stages[1].quant.gate_up == quant::Scheme::fp4_e1m2);
  CHECK(config.stages[1].quant.down == quant::Scheme::int4_absmean2);
  CHECK(config.stages[1].quant.ternary_weights == false);
  CHECK_FALSE(config.stages[0].quant.qkv.has_value());
}

TEST_CASE("a stage lays its own keys over the run's; null takes a slot back to the mode's") {
  const RunConfig config = example({"quant.down=fp4", "stages.1.quant.down=null",
                                    "stages.1.optim.weight_decay=0", "stages.1.data.sequence_length=128"});
  CHECK(config.stages[0].quant.down == quant::Scheme::fp4);
  CHECK_FALSE(config.stages[1].quant.down.has_value());
  CHECK(config.stages[0].optim.weight_decay == 0.1);
  CHECK(config.stages[1].optim.weight_decay == 0.0);
  CHECK(config.stages[1].optim.learning_rate == 2e-3);
  CHECK(config.stages[1].data.sequence_length == 128);
  CHECK(config.stages[1].data.path == "corpora/kjv");
}

TEST_CASE("overrides reach list items by index and keep text as it stands") {
  CHECK(example({"stages.0.until=0.5"}).stages[0].until == 0.5);
  CHECK(holds(problems_with({"stages.2.until=1"}), "\"2\" is no item of stages, which has 2"));
  CHECK(holds(problems_with({"stages.-1.until=1"}), "is no item of stages"));
  CHECK(holds(problems_with({"run.dir.x=1"}), "run.dir is the string \"runs/tiny\", not a block"));
  CHECK(example({"run.dir=2024"}).run.dir == "2024");
  CHECK(example({"run.dir=\"quoted\""}).run.dir == "quoted");
  CHECK(example({"run.dir=a=b"}).run.dir == "a=b");
  CHECK(example({"eval.prompts=[\"a\", \"b\"]"}).eval.prompts.size() == 2);
  CHECK(example({"stages.0.mode=a16"}).stages[0].mode == quant::Mode::a16);
  CHECK(example({"run.seed=3", "run.seed=4"}).run.seed == 4);  // the last one wins
}

TEST_CASE("C3: defaults < checkpoint < file < command line") {
  const RunConfig checkpoint = example(
      {"eval.interval=7", "eval.windows=7", "run.seed=7", "optim.grad_clip=7", "stages.1.optim.beta1=0.7"});
  const std::string file =
      R"({"model": {"vocab_size": 2048}, "eval": {"windows": 8, "sample_tokens": 8}, "run": {"seed": 8}})";
  const RunConfig config = load_text(file, "file.json", {"run.seed=9"}, &checkpoint);
  CHECK(config.eval.interval == 7);                      // checkpoint over default
  CHECK(config.eval.windows == 8);                       // file over checkpoint
  CHECK(config.eval.sample_tokens == 8);                 // file over default
  CHECK(config.run.seed == 9);                           // command line over file
  CHECK(config.run.log_interval == Run{}.log_interval);  // default
  CHECK(config.optim.grad_clip == 7);
  CHECK(config.stages.size() == 2);  // stages of the checkpoint, with their own keys
  CHECK(config.stages[0].optim.grad_clip == 7);
  CHECK(config.stages[1].optim.beta1 == 0.7);
  CHECK(config.model.hidden_size == 192);
  CHECK(config.optim.min_lr == 4e-5);
}

TEST_CASE("a file that resumes its own checkpoint unchanged gives the checkpoint's configuration") {
  const RunConfig checkpoint = example();
  CHECK(resolved_text(load_text(kExample, "file.json", {}, &checkpoint)) == resolved_text(checkpoint));
  const std::string recipe =
      R"({"recipe": "a4.8", "model": {"preset": "11M"}, "data": {"path": "d"}, "run": {"dir": "r"}})";
  const RunConfig first = load_text(recipe, "file.json");
  CHECK(resolved_text(load_text(recipe, "file.json", {}, &first)) == resolved_text(first));
}

TEST_CASE("files: a missing one is an error of the configuration that says what is expected") {
  const TempDir dir;
  CHECK_THROWS_WITH(load_file(dir / "none.json"),
                    contains("none.json: No such file or directory; expected a configuration file"));
  try {
    load_file(dir / "none.json");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::config);
  }
}

TEST_CASE("the schema's name at the top is ignored") {
  std::string text = kExample;
  text.insert(1, "\"$schema\": \"schema.json\", ");
  CHECK(problems_of(text).empty());
  CHECK(holds(problems_of(text, {"$shema=1"}), "$shema (command line): unknown key"));
}

}  // namespace a48::test
