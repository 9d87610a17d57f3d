// The layers of a configuration, lowest first: defaults, checkpoint, recipe and preset, the file's keys, the
// command line. Loader collects every problem on the way; validate.cpp judges the result.
#include "core/config/load.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/config/fields.h"
#include "core/config/keys.h"
#include "core/config/nearest.h"
#include "core/config/presets.h"
#include "core/config/print.h"
#include "core/config/validate.h"

namespace a48::config {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

/// Is `path` the same as `whole`, inside it, or around it?
bool overlaps(const std::string& path, const std::string& whole) {
  const std::string a = path + ".", b = whole + ".";
  return a.starts_with(b) || b.starts_with(a);
}

template <typename Block>
const Field<Block>* find_field(const std::string& name) {
  const auto found = std::ranges::find(fields<Block>(), name, &Field<Block>::name);
  return found == fields<Block>().end() ? nullptr : &*found;
}

template <typename Block>
std::vector<std::string> names_of_fields() {
  std::vector<std::string> names;
  for (const Field<Block>& field : fields<Block>()) names.push_back(field.name);
  return names;
}

class Loader {
 public:
  Loader(Json document, std::string source, const RunConfig* checkpoint)
      : document_(std::move(document)), source_(std::move(source)), checkpoint_(checkpoint) {}

  void report_all(std::vector<std::string> problems) {
    problems_.insert(problems_.end(), problems.begin(), problems.end());
  }

  RunConfig load(const std::vector<std::string>& overrides) {
    if (document_.is_object()) {
      apply_overrides(overrides);
      expand_shorthands();
      read_blocks();
      derive_rates();
      read_stages();
      report_unknown_blocks();
      check_rules();
    } else {
      problems_.push_back(
          detail::wrong_type("an object with the blocks model, stages, optim, data, run", document_, ""));
    }
    if (!problems_.empty()) throw Error(ErrorKind::config, message());
    return config_;
  }

 private:
  // --- Problems
  // ------------------------------------------------------------------------------------------------------------

  /// `path` is not understood, so that a rule between fields that names it would mislead.
  void report(const std::string& path, const std::string& problem) {
    const bool from_command_line =
        std::ranges::any_of(overridden_, [&](const std::string& set) { return overlaps(path, set); });
    problems_.push_back(concat(path, from_command_line ? " (command line)" : "", ": ", problem));
    suspects_.push_back(path);
  }

  void report_unknown(const std::string& block, const std::string& name,
                      const std::vector<std::string>& siblings) {
    const std::string path = join_path(block, name);
    if (const std::string ours = ours_for_foreign(name); !ours.empty())
      return report(path, concat("unknown key; here it is called \"", ours, "\""));
    std::string meant = join_path(block, nearest_name(name, siblings));
    if (meant == block + "." || meant.empty()) meant = nearest_path(name);
    if (meant.empty()) return report(path, concat("unknown key; allowed: ", joined(siblings)));
    report(path, concat("unknown key; did you mean \"", meant, "\"?"));
    suspects_.push_back(meant);
  }

  /// The path, anywhere in the table, whose last name is nearest.
  static std::string nearest_path(const std::string& name) {
    std::vector<std::string> names;
    for (const Key& key : all_keys()) names.push_back(key.name);
    const std::string nearest = nearest_name(name, names);
    const auto found = std::ranges::find(all_keys(), nearest, &Key::name);
    return nearest.empty() ? "" : found->path();
  }

  std::string message() const {
    std::string text = source_ + ": ";
    if (problems_.size() > 1) text += concat(problems_.size(), " problems:");
    for (const std::string& problem : problems_)
      text.append(problems_.size() > 1 ? "\n  " : "").append(problem);
    return text + "\n(`a48 config help` lists every key)";
  }

  // --- Command line
  // --------------------------------------------------------------------------------------------------------

  /// Recipe and preset first, so that "stages.0.until=…" finds the recipe's stages.
  void apply_overrides(const std::vector<std::string>& overrides) {
    for (const std::string& text : overrides)
      if (!text.starts_with("stages.")) apply_override(text);
    if (document_.find("stages") == nullptr) expand_stages();
    for (const std::string& text : overrides)
      if (text.starts_with("stages.")) apply_override(text);
  }

  void apply_override(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems_.push_back(concat("command line: \"", text, "\" is no override; expected section.key=value"));
      return;
    }
    const std::string path = text.substr(0, equals), value = text.substr(equals + 1);
    overridden_.push_back(path);
    set_at(path, value_of(path, value));
  }

  /// JSON where the text is JSON, else a string; a key that holds text takes it as it stands.
  static Json value_of(const std::string& path, const std::string& text) {
    const Key* const key = find_key(path);
    if (key != nullptr && key->type == "text" && !text.starts_with("\"")) return text;
    try {
      return Json::parse(text, "command line");
    } catch (const Error&) {
      return text;
    }
  }

  void set_at(const std::string& path, Json value) {
    Json* at = &document_;
    std::string walked;
    for (const std::string& step : split_path(path)) {
      if (at->is_array()) {
        const bool is_index =
            !step.empty() && step.size() < 7 && step.find_first_not_of("0123456789") == std::string::npos;
        if (!is_index || std::stoul(step) >= at->size())
          return report(path, concat("\"", step, "\" is no item of ", walked, ", which has ", at->size(),
                                     "; items count from 0"));
        at = &at->as_array()[std::stoul(step)];
      } else if (at->is_object() || at->is_null()) {
        at = &(*at)[step];
      } else {
        return report(path,
                      concat(walked, " is the ", at->type_name(), " ", detail::shown(*at), ", not a block"));
      }
      walked = join_path(walked, step);
    }
    *at = std::move(value);
  }

  // --- Layers
  // --------------------------------------------------------------------------------------------------------------

  const Recipe* named_recipe() {
    const Json* const name = document_.find("recipe");
    if (name == nullptr) {
      const bool by_default = document_.find("stages") == nullptr && checkpoint_ == nullptr;
      return by_default ? find_recipe(kDefaultRecipe) : nullptr;
    }
    return name->is_string() ? find_recipe(name->as_string()) : nullptr;
  }

  /// Writes the stages that the file leaves to its recipe or checkpoint into the document.
  void expand_stages() {
    recipe_ = named_recipe();
    RunConfig source = checkpoint_ != nullptr ? *checkpoint_ : RunConfig{};
    if (recipe_ != nullptr) {
      source = RunConfig{};
      source.stages = recipe_->stages;
    }
    for (Stage& stage : source.stages) {
      if (recipe_ == nullptr) continue;
      stage.optim = source.optim;
      stage.data = source.data;
      stage.quant = source.quant;
    }
    document_["stages"] = resolved(source).at("stages");
  }

  void expand_shorthands() {
    if (checkpoint_ != nullptr) config_ = *checkpoint_;
    if (recipe_ == nullptr) recipe_ = named_recipe();
    if (const Json* const name = document_.find("recipe"); name != nullptr && recipe_ == nullptr)
      report_shorthand("recipe", *name, recipe_names());

    const Json* const model = document_.find("model");
    const Json* const name = model != nullptr ? model->find("preset") : nullptr;
    const Preset* const preset =
        name != nullptr && name->is_string() ? find_preset(name->as_string()) : nullptr;
    if (name != nullptr && preset == nullptr) report_shorthand("model.preset", *name, preset_names());

    if (preset != nullptr) {
      Model& shape = config_.model;
      shape = preset->model;
      // As many as the heads, also where the file changes those.
      if (shape.num_key_value_heads == shape.num_attention_heads) shape.num_key_value_heads = 0;
    }
    if (recipe_ != nullptr) {
      config_.model.hidden_act = recipe_->hidden_act;
      config_.model.sub_norm = recipe_->sub_norm;
    }
    if (recipe_ != nullptr || preset != nullptr) set_rates(config_.optim, recipe_, preset);
  }

  void report_shorthand(const std::string& path, const Json& found, const std::vector<std::string>& names) {
    if (!found.is_string()) return report(path, detail::wrong_type("a string", found, joined(names)));
    const std::string nearest = nearest_name(found.as_string(), names);
    report(path, concat(detail::shown(found), " is not known",
                        nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?",
                        "; allowed: ", joined(names)));
  }

  template <typename Block>
  void read_block(const Json* object, const std::string& path, Block& block,
                  const std::vector<std::string>& others = {}) {
    if (object == nullptr) return;
    if (!object->is_object()) return report(path, detail::wrong_type("an object", *object, ""));
    for (const auto& [name, value] : object->as_object()) {
      if (const Field<Block>* const field = find_field<Block>(name)) {
        if (const auto problem = field->set(block, value)) report(join_path(path, name), *problem);
      } else if (!contains(others, name)) {
        std::vector<std::string> siblings = names_of_fields<Block>();
        siblings.insert(siblings.end(), others.begin(), others.end());
        report_unknown(path, name, siblings);
      }
    }
  }

  void read_blocks() {
    base_optim_ = config_.optim;
    for_each_block([&](const char* name, auto member, const char*) {
      const bool is_model = std::string_view(name) == "model";
      read_block(document_.find(name), name, config_.*member,
                 is_model ? std::vector<std::string>{"preset"} : std::vector<std::string>{});
    });
    Model& model = config_.model;
    if (model.num_key_value_heads == 0) model.num_key_value_heads = model.num_attention_heads;
  }

  /// A file that gives only the peak moves the second peak and the floor with it.
  void derive_rates() {
    const Json* const optim = document_.find("optim");
    if (optim == nullptr || optim->find("learning_rate") == nullptr) return;
    Optim& now = config_.optim;
    if (optim->find("second_learning_rate") == nullptr && now.learning_rate != base_optim_.learning_rate)
      now.second_learning_rate =
          now.learning_rate * base_optim_.second_learning_rate / base_optim_.learning_rate;
    if (optim->find("min_lr") == nullptr) now.min_lr = kFloorShare * now.learning_rate;
  }

  void read_stages() {
    const Json& list = document_.at("stages");
    if (!list.is_array() || list.size() == 0)
      return report("stages", detail::wrong_type("a list of at least one stage", list, ""));
    config_.stages.clear();
    for (std::size_t i = 0; i < list.size(); ++i) {
      Stage stage;
      const Json& item = list.as_array()[i];
      const std::string path = concat("stages.", i);
      std::vector<std::string> blocks;
      for_each_stage_block([&](const char* name, auto own, auto of_run) {
        blocks.emplace_back(name);
        stage.*own = config_.*of_run;
        read_block(item.find(name), join_path(path, name), stage.*own);
      });
      read_block(&item, path, stage, blocks);
      config_.stages.push_back(std::move(stage));
    }
  }

  void report_unknown_blocks() {
    std::vector<std::string> names{"recipe", "stages"};
    for_each_block([&](const char* name, auto, const char*) { names.emplace_back(name); });
    for (const auto& [name, value] : document_.as_object())
      if (name != "$schema" && !contains(names, name)) report_unknown("", name, names);
  }

  void check_rules() {
    for (const std::string& violation : violations(config_)) {
      const bool misleading = std::ranges::any_of(
          suspects_, [&](const std::string& path) { return violation.find(path) != std::string::npos; });
      if (!misleading) problems_.push_back(violation);
    }
  }

  Json document_;
  const std::string source_;
  const RunConfig* const checkpoint_;
  const Recipe* recipe_ = nullptr;
  Optim base_optim_;  // before the file's own keys
  RunConfig config_;
  std::vector<std::string> problems_;
  std::vector<std::string> suspects_;    // paths that were not understood
  std::vector<std::string> overridden_;  // paths set on the command line
};

}  // namespace

RunConfig load_json(const Json& document, const std::string& source,
                    const std::vector<std::string>& overrides, const RunConfig* checkpoint) {
  return Loader(document, source, checkpoint).load(overrides);
}

RunConfig load_text(const std::string& text, const std::string& source,
                    const std::vector<std::string>& overrides, const RunConfig* checkpoint) {
  std::vector<std::string> duplicates;
  Json document;
  try {
    document = Json::parse(text, source, &duplicates);
  } catch (const Error& error) {
    throw Error(ErrorKind::config, error.what());
  }
  for (std::string& problem : duplicates) problem = "line " + problem.substr(source.size() + 1);
  Loader loader(std::move(document), source, checkpoint);
  loader.report_all(std::move(duplicates));
  return loader.load(overrides);
}

RunConfig load_file(const std::string& path, const std::vector<std::string>& overrides,
                    const RunConfig* checkpoint) {
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    throw Error(ErrorKind::config,
                concat(error.what(), "; expected a configuration file, as those in configs/"));
  }
  return load_text(text, path, overrides, checkpoint);
}

}  // namespace a48::config
