// Recipes and presets of numerics.md 1 and 6: shorthands of a configuration file that load.cpp expands before
// the file's own keys. A recipe says how to train, a preset which shape; together they say how fast to learn.
#pragma once

#include <string>
#include <vector>

#include "core/config/types.h"

namespace a48::config {

struct Recipe {
  const char* name;
  const char* help;
  std::vector<Stage> stages;  // mode and until only
  Activation hidden_act = Activation::relu2;
  bool sub_norm = true;
  Schedule schedule = Schedule::bitnet;
  double weight_decay_until = 0.5;
};
const std::vector<Recipe>& recipes();
inline constexpr const char* kDefaultRecipe = "a4.8";  // of a file that names neither recipe nor stages

struct Preset {
  const char* name;
  const char* help;
  Model model;
  double first_rate, second_rate;  // p1 -> p2 of the two-line schedule
  double linear_rate;              // peak of the floating-point baseline's one line
};
const std::vector<Preset>& presets();

/// nullptr when there is none of this name.
const Recipe* find_recipe(const std::string& name);
const Preset* find_preset(const std::string& name);
std::vector<std::string> recipe_names();
std::vector<std::string> preset_names();

inline constexpr double kFloorShare = 0.02;  // min_lr / learning_rate unless the file says otherwise

/// Fills schedule and rates for a recipe and a preset, either of which may be nullptr.
void set_rates(Optim& optim, const Recipe* recipe, const Preset* preset);

}  // namespace a48::config
