// From a JSON file and dotted overrides to a RunConfig: recipe and preset are expanded first, then the file's
// keys, then the overrides; every violation of every rule is reported in one Error(config). Fields: fields.h;
// rules: validate.h.
#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/config/types.h"

namespace a48::config {

/// `overrides`: "section.key=value", list items by index ("stages.0.until=0.9"); values parse as JSON, else
/// are strings. `checkpoint`: the configuration of the checkpoint that a run resumes; it stands in for the
/// defaults, below the file.
RunConfig load_file(const std::string& path, const std::vector<std::string>& overrides = {},
                    const RunConfig* checkpoint = nullptr);
/// `source` names the document in errors.
RunConfig load_json(const Json& document, const std::string& source,
                    const std::vector<std::string>& overrides = {}, const RunConfig* checkpoint = nullptr);
/// Text keeps the positions of duplicate keys and syntax errors for the message.
RunConfig load_text(const std::string& text, const std::string& source,
                    const std::vector<std::string>& overrides = {}, const RunConfig* checkpoint = nullptr);

}  // namespace a48::config
