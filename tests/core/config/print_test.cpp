#include "core/config/print.h"

#include <algorithm>

#include "core/base/hash.h"
#include "core/config/keys.h"
#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;
namespace {

const Difference* find(const std::vector<Difference>& list, const std::string& path) {
  const auto found = std::ranges::find(list, path, &Difference::path);
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE("C2: the resolved configuration reloads to itself, byte for byte") {
  for (const std::vector<std::string>& overrides : std::vector<std::vector<std::string>>{
           {},
           {"optim.learning_rate=0.0012345678901234567", "optim.min_lr=0", "model.rms_norm_eps=1e-6"},
           {"quant.down=fp4", "stages.1.quant.down=null", "stages.0.optim.grad_clip=0",
            "stages.1.data.windows=bos"},
           {"eval.prompts=[\"a\\nb\", \"é\"]", "run.dir=with \"quotes\""},
           {"recipe=llama", "model.preset=3B", "model.max_position_embeddings=4096"}}) {
    const std::string text = resolved_text(example(overrides));
    CHECK(resolved_text(load_text(text, "again")) == text);
    CHECK(text.back() == '\n');
    CHECK(config_sha256(example(overrides)) == sha256_hex(text));
  }
}

TEST_CASE("every key is in the dump, but for slots that are not set and shorthands") {
  const RunConfig all = example({"quant.weights=fp", "quant.qkv=fp", "quant.o=fp", "quant.gate_up=fp",
                                 "quant.down=fp", "quant.topk_keep_o=1"});
  const Json document = resolved(all);
  for (const Key& key : all_keys()) {
    if (key.name == "recipe" || key.name == "preset") continue;
    INFO(key.path());
    if (key.block == "stages.N")
      CHECK(document.at("stages").as_array()[0].find(key.name) != nullptr);
    else
      CHECK(document.at(key.block).find(key.name) != nullptr);
  }
  CHECK(resolved(example()).find("quant") == nullptr);
}

TEST_CASE("a stage prints only what differs from the run") {
  const Json stages =
      resolved(example({"stages.1.optim.weight_decay=0", "stages.1.optim.beta1=0.9"})).at("stages");
  CHECK(stages.as_array()[0].dump() == R"({"mode": "a8", "until": 0.95})");
  CHECK(stages.as_array()[1].dump() == R"({"mode": "a4.8", "until": 1.0, "optim": {"weight_decay": 0.0}})");
}

TEST_CASE("C3: every difference is listed with both values") {
  CHECK(differences(example(), example()).empty());
  const auto list = differences(
      example(), example({"eval.interval=5", "stages.1.optim.beta1=0.5", "eval.prompts=[\"x\"]"}));
  REQUIRE(list.size() == 3);
  CHECK(find(list, "eval.interval")->before == "100");
  CHECK(find(list, "eval.interval")->after == "5");
  CHECK(find(list, "stages.1.optim.beta1")->before == "not set");
  CHECK(find(list, "eval.prompts")->after == "[\"x\"]");
}

TEST_CASE("C4: model, seed, order, batch and stages must stay; the rest may change") {
  for (const char* const change :
       {"model.rope_theta=5000", "run.seed=2", "data.sequence_length=128", "data.windows=bos",
        "run.global_batch_size=32", "stages.0.until=0.9", "stages.1.mode=a4.8-fp4", "quant.topk_keep_o=0.6",
        "stages.1.quant.down=fp4"}) {
    const auto list = differences(example(), example({change}));
    INFO(change);
    REQUIRE(list.size() == 1);
    CHECK(list[0].must_match);
  }
  for (const char* const change :
       {"run.max_steps=2000", "run.micro_batch_size=4", "optim.grad_clip=2", "optim.warmup_steps=5",
        "data.path=elsewhere", "eval.windows=1", "run.threads=1", "run.keep_last=9", "run.dir=moved",
        "stages.1.optim.grad_clip=2"}) {
    const auto list = differences(example(), example({change}));
    INFO(change);
    REQUIRE(list.size() == 1);
    CHECK_FALSE(list[0].must_match);
  }
}

TEST_CASE("C4: another number of stages must not pass") {
  const auto list = differences(example(), example({"stages=[{\"mode\": \"a8\", \"until\": 1.0}]"}));
  CHECK(std::ranges::any_of(list, &Difference::must_match));
  CHECK(find(list, "stages.1.mode")->after == "not set");
}

TEST_CASE("help and Markdown name every key with default and help") {
  const std::string help = help_table(), table = markdown_table();
  for (const Key& key : all_keys()) {
    INFO(key.path());
    CHECK(holds(help, key.name));
    CHECK(holds(help, key.help));
    CHECK(holds(table, "| `" + key.path() + "` |"));
  }
  CHECK(std::ranges::count(table, '\n') == static_cast<std::ptrdiff_t>(all_keys().size()) + 2);
}

TEST_CASE("the model block alone") { CHECK(model_json(example().model) == resolved(example()).at("model")); }

}  // namespace a48::test
