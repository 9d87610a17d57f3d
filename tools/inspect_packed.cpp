// What `inspect` says of a packed model: the summary of its sections, its configuration and where it came
// from. Next: core/runtime/packed_summary.cpp.
#include "core/runtime/packed_summary.h"
#include "tools/commands.h"
#include "tools/model_tokenizer.h"

namespace a48::tools {

Json packed_report(const std::string& path, bool verify) {
  const runtime::PackedModel model =
      runtime::PackedModel::open(path, verify ? runtime::Verify::full : runtime::Verify::structure);
  Json result = Json::object();
  result["kind"] = "packed model";
  if (verify) {
    check_tokenizer(model);
    result["verified"] = true;  // or one of the two would have thrown
  }
  const Json summary = runtime::summary_of(model);
  for (const auto& [key, value] : summary.as_object()) result[key] = value;
  result["config"] = model.config_json();
  result["provenance"] = model.provenance();
  return result;
}

}  // namespace a48::tools
