#include "core/config/presets.h"

#include <algorithm>

#include "core/base/check.h"

namespace a48::config {
namespace {

// Rates of a file without preset: those of 700M, whose p1 -> p2 are also the defaults of types.h.
constexpr double kDefaultLinearRate = 2.5e-4;

Model shape(std::int64_t hidden, std::int64_t intermediate, std::int64_t heads, std::int64_t layers) {
  Model model;
  model.hidden_size = hidden;
  model.intermediate_size = intermediate;
  model.num_attention_heads = heads;
  model.num_key_value_heads = heads;
  model.num_hidden_layers = layers;
  return model;
}

Model tied(Model model, std::int64_t vocabulary, std::int64_t key_value_heads) {
  model.vocab_size = vocabulary;
  model.num_key_value_heads = key_value_heads;
  model.tie_word_embeddings = true;
  return model;
}

Model two_billion() {
  Model model = tied(shape(2560, 6912, 20, 30), 128256, 5);
  model.rope_theta = 5e5;
  return model;
}

Stage stage(quant::Mode mode, double until) {
  Stage result;
  result.mode = mode;
  result.until = until;
  return result;
}

template <typename Row>
const Row* find_row(const std::vector<Row>& rows, const std::string& name) {
  const auto found = std::ranges::find_if(rows, [&](const Row& row) { return name == row.name; });
  return found == rows.end() ? nullptr : &*found;
}

template <typename Row>
std::vector<std::string> names_of(const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) names.emplace_back(row.name);
  return names;
}

}  // namespace

const std::vector<Recipe>& recipes() {
  using quant::Mode;
  static const std::vector<Stage> float_only{stage(Mode::none, 1.0)};
  static const std::vector<Stage> int8_only{stage(Mode::a8, 1.0)};
  static const std::vector<Recipe> rows{
      {"llama", "floating point, SwiGLU, no sub-norms: the FP baseline of the paper", float_only,
       Activation::silu, false, Schedule::linear, 1.0},
      {"fp-skeleton", "floating point in the BitNet skeleton: what quantization costs", float_only},
      {"b1.58", "a8 with SwiGLU: BitNet b1.58", int8_only, Activation::silu},
      {"a8-relu2", "a8 with ReLU squared for the whole run: a4.8 without its second stage", int8_only},
      {"a4.8",
       "a8, then INT4 and TopK for the last 5 % of the steps",
       {stage(Mode::a8, 0.95), stage(Mode::a4_8, 1.0)}},
      {"a4.8-fp4",
       "a8, then FP4 for the last 5 % of the steps",
       {stage(Mode::a8, 0.95), stage(Mode::a4_8_fp4, 1.0)}},
  };
  return rows;
}

// Rates of the BitNet recipes and of the baseline for 700M to 7B are published (numerics.md 6); the others
// are ours: the small ones from common practice at their size, and where nothing was tried those of 700M.
const std::vector<Preset>& presets() {
  static const std::vector<Preset> rows{
      {"11M", "10.6M weights", shape(384, 1024, 6, 6), 2e-3, 1.3e-3, 1e-3},
      {"85M", "84.9M weights", shape(768, 2048, 12, 12), 2e-3, 1.3e-3, 6e-4},
      {"124M", "the 85M body, vocabulary 50304, tied", tied(shape(768, 2048, 12, 12), 50304, 12), 2e-3,
       1.3e-3, 6e-4},
      {"0.5B", "vocabulary 151936, tied, 2 key/value heads", tied(shape(896, 4864, 14, 24), 151936, 2),
       1.5e-3, 1e-3, kDefaultLinearRate},
      {"700M", "679.5M weights", shape(1536, 4096, 24, 24), 1.5e-3, 1e-3, 2.5e-4},
      {"1.3B", "1.208B weights", shape(2048, 5460, 32, 24), 1.2e-3, 8e-4, 2e-4},
      {"2b4t", "the shape of BitNet b1.58 2B4T", two_billion(), 1.5e-3, 1e-3, kDefaultLinearRate},
      {"3B", "3.222B weights", shape(3200, 8640, 32, 26), 1.2e-3, 6.4e-4, 2e-4},
      {"7B", "6.476B weights", shape(4096, 11008, 32, 32), 1e-3, 6e-4, 1.5e-4},
  };
  return rows;
}

const Recipe* find_recipe(const std::string& name) { return find_row(recipes(), name); }
const Preset* find_preset(const std::string& name) { return find_row(presets(), name); }
std::vector<std::string> recipe_names() { return names_of(recipes()); }
std::vector<std::string> preset_names() { return names_of(presets()); }

Model model_preset(const std::string& name) {
  const Preset* const preset = find_preset(name);
  std::string allowed;
  for (const Preset& row : presets()) allowed.append(allowed.empty() ? "" : ", ").append(row.name);
  A48_CHECK(preset != nullptr, ErrorKind::config, "preset \"", name, "\": allowed are ", allowed);
  return preset->model;
}

void set_rates(Optim& optim, const Recipe* recipe, const Preset* preset) {
  if (recipe != nullptr) {
    optim.schedule = recipe->schedule;
    optim.weight_decay_until = recipe->weight_decay_until;
  }
  if (optim.schedule == Schedule::linear && recipe != nullptr) {
    optim.learning_rate = optim.second_learning_rate =
        preset != nullptr ? preset->linear_rate : kDefaultLinearRate;
  } else if (preset != nullptr) {
    optim.learning_rate = preset->first_rate;
    optim.second_learning_rate = preset->second_rate;
  } else if (recipe != nullptr) {
    optim.learning_rate = Optim{}.learning_rate;
    optim.second_learning_rate = Optim{}.second_learning_rate;
  }
  optim.min_lr = kFloorShare * optim.learning_rate;
}

}  // namespace a48::config
