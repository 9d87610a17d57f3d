// What the field table prints: the resolved configuration, the difference of two, help, JSON schema, the
// README's table.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/config/types.h"

namespace a48::config {

/// Every field; byte-stable; load_json(resolved(c)) == c.
Json resolved(const RunConfig& config);
std::string resolved_text(const RunConfig& config);  // indented, ends with a newline
std::string config_sha256(const RunConfig& config);  // of resolved_text

/// A field that differs between a checkpoint's configuration and the one asked for.
struct Difference {
  std::string path;
  std::string before, after;
  bool must_match = false;  // marked `same`: a resume with another value is refused
};
std::vector<Difference> differences(const RunConfig& before, const RunConfig& after);

Json json_schema();
std::string help_table();      // for `a48 config --help`
std::string markdown_table();  // for README.md

Json model_json(const Model& model);  // the `model` block alone
}  // namespace a48::config
