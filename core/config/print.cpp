#include "core/config/print.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/config/fields.h"
#include "core/config/keys.h"
#include "core/config/presets.h"

namespace a48::config {
namespace {

/// Every field of the block that is set.
template <typename Block>
Json block_json(const Block& block) {
  Json object = Json::object();
  for (const Field<Block>& field : fields<Block>()) {
    Json value = field.get(block);
    if (!value.is_null()) object[field.name] = std::move(value);
  }
  return object;
}

/// The fields in which a stage's block differs from the run's; null takes back what the run has set.
template <typename Block>
Json block_changes(const Block& block, const Block& of_run) {
  Json object = Json::object();
  for (const Field<Block>& field : fields<Block>()) {
    Json value = field.get(block);
    if (!(value == field.get(of_run))) object[field.name] = std::move(value);
  }
  return object;
}

Json stage_json(const Stage& stage, const RunConfig& config) {
  Json object = block_json(stage);
  for_each_stage_block([&](const char* name, auto own, auto of_run) {
    Json changes = block_changes(stage.*own, config.*of_run);
    if (changes.size() > 0) object[name] = std::move(changes);
  });
  return object;
}

/// "stages.1.optim.min_lr" -> value, for every scalar and list of scalars.
using Flat = std::vector<std::pair<std::string, Json>>;

void flatten(const Json& value, const std::string& path, Flat& flat) {
  const bool is_list_of_blocks = value.is_array() && value.size() > 0 && value.as_array()[0].is_object();
  if (value.is_object()) {
    for (const auto& [name, member] : value.as_object()) flatten(member, join_path(path, name), flat);
  } else if (is_list_of_blocks) {
    for (std::size_t i = 0; i < value.size(); ++i) flatten(value.as_array()[i], concat(path, ".", i), flat);
  } else {
    flat.emplace_back(path, value);
  }
}

const Json* find(const Flat& flat, const std::string& path) {
  const auto found = std::ranges::find(flat, path, &Flat::value_type::first);
  return found == flat.end() ? nullptr : &found->second;
}

std::string shown(const Json* value) { return value == nullptr ? "not set" : value->dump(); }

// Schema
// --------------------------------------------------------------------------------------------------------------------

template <typename Block>
Json block_schema(const std::string& help) {
  Json schema = Json::object();
  schema["type"] = "object";
  schema["description"] = help;
  schema["additionalProperties"] = false;
  for (const Field<Block>& field : fields<Block>()) {
    Json property = field.schema;
    if (const Json standard = field.get(Block{}); !standard.is_null()) property["default"] = standard;
    property["description"] = field.help;
    schema["properties"][field.name] = std::move(property);
  }
  return schema;
}

template <typename Block>
Json schema_of(Block RunConfig::*, const char* help) {
  return block_schema<Block>(help);
}

Json shorthand_schema(const std::string& path) {
  const Key& key = *find_key(path);
  Json schema = Json::object();
  for (const auto& [name, help] : key.choices) schema["enum"].push_back(name);
  schema["description"] = key.help;
  return schema;
}

/// The properties of a block with one more in front.
Json with_first(const std::string& name, Json first, const Json& properties) {
  Json all = Json::object();
  all[name] = std::move(first);
  for (const auto& [other, property] : properties.as_object()) all[other] = property;
  return all;
}

Json stages_schema() {
  Json items = block_schema<Stage>("");
  items.as_object().erase(items.as_object().begin() + 1);  // a list item needs no description of its own
  for_each_stage_block([&](const char* name, auto, auto) {
    items["properties"][name]["$ref"] = concat("#/properties/", name);
  });
  items["required"] = Json::Array{"mode", "until"};
  Json schema = Json::object();
  schema["type"] = "array";
  schema["description"] = kStagesHelp;
  schema["minItems"] = 1;
  schema["items"] = std::move(items);
  return schema;
}

// Tables
// --------------------------------------------------------------------------------------------------------------------

std::string padded(const std::string& text, std::size_t width) {
  return text.size() < width ? text + std::string(width - text.size(), ' ') : text;
}

std::string help_of_block(const std::string& block) {
  if (block == "stages.N") return kStagesHelp;
  std::string help = "shorthand";
  for_each_block([&](const char* name, auto, const char* text) {
    if (block == name) help = text;
  });
  return help;
}

}  // namespace

Json resolved(const RunConfig& config) {
  Json document = Json::object();
  for_each_block([&](const char* name, auto member, const char*) {
    Json block = block_json(config.*member);
    if (block.size() > 0) document[name] = std::move(block);
    if (std::string_view(name) != kBlockBeforeStages) return;
    document["stages"] = Json::array();
    for (const Stage& stage : config.stages) document["stages"].push_back(stage_json(stage, config));
  });
  return document;
}

std::string resolved_text(const RunConfig& config) { return resolved(config).dump(2) + "\n"; }

std::string config_sha256(const RunConfig& config) { return sha256_hex(resolved_text(config)); }

Json model_json(const Model& model) { return block_json(model); }

std::vector<Difference> differences(const RunConfig& before, const RunConfig& after) {
  Flat old_values, new_values;
  flatten(resolved(before), "", old_values);
  flatten(resolved(after), "", new_values);
  Flat paths = old_values;
  for (const auto& entry : new_values)
    if (find(old_values, entry.first) == nullptr) paths.push_back(entry);

  std::vector<Difference> list;
  for (const auto& [path, ignored] : paths) {
    const Json* const was = find(old_values, path);
    const Json* const is = find(new_values, path);
    if (was != nullptr && is != nullptr && *was == *is) continue;
    const Key* const key = find_key(path);
    A48_ASSERT(key != nullptr, "path ", path);
    list.push_back({path, shown(was), shown(is), key->resume == Resume::same});
  }
  return list;
}

Json json_schema() {
  Json schema = Json::object();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "a48 training run";
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  Json& properties = schema["properties"];
  properties["$schema"]["type"] = "string";
  properties["recipe"] = shorthand_schema("recipe");
  for_each_block([&](const char* name, auto member, const char* help) {
    Json block = schema_of(member, help);
    if (std::string_view(name) == "model")
      block["properties"] = with_first("preset", shorthand_schema("model.preset"), block.at("properties"));
    properties[name] = std::move(block);
    if (std::string_view(name) == kBlockBeforeStages) properties["stages"] = stages_schema();
  });
  return schema;
}

std::string help_table() {
  std::string text =
      "Keys of a configuration file, with default, range and meaning. * marks what a resumed run may not "
      "change.\n";
  std::string block = "?";
  std::vector<std::pair<std::string, std::string>> last_choices;
  for (const Key& key : all_keys()) {
    if (key.block != block) {
      block = key.block;
      text += concat("\n", block.empty() ? "top level" : block, ": ", help_of_block(block), "\n");
    }
    text += concat("  ", padded(key.name, 24), key.resume == Resume::same ? "* " : "  ",
                   padded(key.standard.empty() ? "-" : key.standard, 14), " ", key.help);
    if (key.choices.empty() && !key.allowed.empty() && key.type != "boolean")
      text += concat(" (", key.allowed, ")");
    text += "\n";
    if (!key.choices.empty() && key.choices == last_choices) text += "      as above\n";
    if (key.choices == last_choices) continue;
    for (const auto& [name, help] : key.choices)
      text += concat("      ", padded(name, 20), help.empty() ? "" : "  ", help, "\n");
    last_choices = key.choices;
  }
  return text;
}

std::string markdown_table() {
  std::string text = "| key | default | allowed | meaning | on resume |\n|---|---|---|---|---|\n";
  for (const Key& key : all_keys())
    text += concat("| `", key.path(), "` | ", key.standard.empty() ? "" : "`" + key.standard + "`", " | ",
                   key.allowed.empty() ? key.type : key.allowed, " | ", key.help, " | ",
                   key.resume == Resume::same ? "same" : "may change", " |\n");
  return text;
}

}  // namespace a48::config
