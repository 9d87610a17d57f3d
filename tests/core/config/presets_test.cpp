#include "core/config/presets.h"

#include "core/config/print.h"
#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;
namespace {

RunConfig with_recipe(const std::string& recipe, const std::string& preset,
                      const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> all = overrides;
  if (!recipe.empty()) all.push_back("recipe=" + recipe);
  if (!preset.empty()) all.push_back("model.preset=" + preset);
  return load_text(R"({"data": {"path": "d"}, "run": {"dir": "r"}})", "file.json", all);
}

}  // namespace

TEST_CASE("every recipe with every preset is a valid configuration that no shorthand is left in") {
  for (const std::string& recipe : recipe_names())
    for (const std::string& preset : preset_names()) {
      const Json document = resolved(with_recipe(recipe, preset));
      CHECK(document.find("recipe") == nullptr);
      CHECK(document.at("model").find("preset") == nullptr);
    }
}

TEST_CASE("recipes are those of numerics 1") {
  struct Row {
    const char* name;
    std::vector<quant::Mode> modes;
    Activation activation;
    bool sub_norm;
    Schedule schedule;
  };
  using quant::Mode;
  const Row rows[] = {{"llama", {Mode::none}, Activation::silu, false, Schedule::linear},
                      {"fp-skeleton", {Mode::none}, Activation::relu2, true, Schedule::bitnet},
                      {"b1.58", {Mode::a8}, Activation::silu, true, Schedule::bitnet},
                      {"a8-relu2", {Mode::a8}, Activation::relu2, true, Schedule::bitnet},
                      {"a4.8", {Mode::a8, Mode::a4_8}, Activation::relu2, true, Schedule::bitnet},
                      {"a4.8-fp4", {Mode::a8, Mode::a4_8_fp4}, Activation::relu2, true, Schedule::bitnet}};
  for (const Row& row : rows) {
    const RunConfig config = with_recipe(row.name, "700M");
    INFO(row.name);
    REQUIRE(config.stages.size() == row.modes.size());
    for (std::size_t i = 0; i < row.modes.size(); ++i) CHECK(config.stages[i].mode == row.modes[i]);
    CHECK(config.stages.back().until == 1.0);
    if (row.modes.size() == 2) CHECK(config.stages[0].until == 0.95);
    CHECK(config.model.hidden_act == row.activation);
    CHECK(config.model.sub_norm == row.sub_norm);
    CHECK(config.optim.schedule == row.schedule);
    CHECK(config.stages[0].optim.schedule == row.schedule);
    CHECK(config.optim.weight_decay_until == (row.schedule == Schedule::linear ? 1.0 : 0.5));
  }
}

TEST_CASE("learning rates are those of numerics 6, and end at 0.02 of the peak") {
  struct Row {
    const char* preset;
    double first, second, linear;
  };
  for (const Row& row : {Row{"700M", 1.5e-3, 1e-3, 2.5e-4}, Row{"1.3B", 1.2e-3, 8e-4, 2e-4},
                         Row{"3B", 1.2e-3, 6.4e-4, 2e-4}, Row{"7B", 1e-3, 6e-4, 1.5e-4}}) {
    const RunConfig config = with_recipe("a4.8", row.preset);
    CHECK(config.optim.learning_rate == row.first);
    CHECK(config.optim.second_learning_rate == row.second);
    CHECK(config.optim.min_lr == 0.02 * row.first);
    CHECK(with_recipe("llama", row.preset).optim.learning_rate == row.linear);
    CHECK(with_recipe("llama", row.preset).optim.min_lr == 0.02 * row.linear);
  }
  CHECK(with_recipe("", "11M").optim.learning_rate == 2e-3);
  CHECK(with_recipe("", "").optim.learning_rate == Optim{}.learning_rate);
}

TEST_CASE("a file that gives the peak alone moves the second peak and the floor with it") {
  const Optim optim = with_recipe("a4.8", "700M", {"optim.learning_rate=3e-3"}).optim;
  CHECK(optim.second_learning_rate == Approx(2e-3));
  CHECK(optim.min_lr == 0.02 * 3e-3);
  const Optim same = with_recipe("a4.8", "3B", {"optim.learning_rate=1.2e-3"}).optim;
  CHECK(same.second_learning_rate == 6.4e-4);
  const Optim all =
      with_recipe("a4.8", "700M",
                  {"optim.learning_rate=3e-3", "optim.second_learning_rate=1e-3", "optim.min_lr=0"})
          .optim;
  CHECK(all.second_learning_rate == 1e-3);
  CHECK(all.min_lr == 0.0);
}

TEST_CASE("the file's own keys win over recipe and preset, wherever they stand") {
  const RunConfig config = with_recipe(
      "llama", "11M", {"model.hidden_act=relu2", "model.num_hidden_layers=2", "optim.schedule=cosine"});
  CHECK(config.model.hidden_act == Activation::relu2);
  CHECK(config.model.num_hidden_layers == 2);
  CHECK(config.model.hidden_size == 384);
  CHECK(config.optim.schedule == Schedule::cosine);
}

TEST_CASE("a preset's key/value heads follow the file's heads where they are as many") {
  CHECK(with_recipe("", "11M", {"model.num_attention_heads=12"}).model.num_key_value_heads == 12);
  CHECK(with_recipe("", "0.5B").model.num_key_value_heads == 2);
}

TEST_CASE("a file with neither recipe nor stages follows a4.8; with stages it is taken at its word") {
  CHECK(with_recipe("", "").stages.size() == 2);
  CHECK(with_recipe("", "", {"stages.0.until=0.9"}).stages[0].until == 0.9);
  const RunConfig plain = load_text(
      R"({"stages": [{"mode": "none", "until": 1}], "data": {"path": "d"}, "run": {"dir": "r"}})", "");
  CHECK(plain.stages.size() == 1);
  CHECK(plain.stages[0].mode == quant::Mode::none);
}

TEST_CASE("presets have the shapes of numerics 6") {
  const Model model = model_preset("2b4t");
  CHECK(model.num_key_value_heads == 5);
  CHECK(model.rope_theta == 5e5);
  CHECK(model.tie_word_embeddings);
  CHECK(model.vocab_size == 128256);
  CHECK(model.head_dim() == 128);
  CHECK(model_preset("3B").head_dim() == 100);
  CHECK(model_preset("0.5B").num_key_value_heads == 2);
  CHECK(model_preset("124M").vocab_size == 50304);
  CHECK_THROWS_WITH(model_preset("8B"), contains("allowed are 11M, 85M"));
}

TEST_CASE("unknown recipes and presets are answered with the nearest") {
  CHECK(holds(problems_with({"recipe=a48"}), "did you mean \"a4.8\"?"));
  CHECK(holds(problems_with({"model.preset=700m"}), "did you mean \"700M\"?"));
  CHECK(holds(problems_with({"recipe=3"}), "expected a string"));
}

}  // namespace a48::test
