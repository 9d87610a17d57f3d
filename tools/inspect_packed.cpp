// What `inspect` says of a packed model: its sections as the file's table has them.
#include "core/base/json.h"
#include "core/runtime/pack_model.h"
#include "core/runtime/packed_file.h"
#include "tools/commands.h"

namespace a48::tools {

Json packed_report(const std::string& path, bool verify) {
  const runtime::PackedModel model =
      runtime::PackedModel::open(path, verify ? runtime::Verify::full : runtime::Verify::structure);
  Json result = Json::object(), tensors = Json::object();
  std::int64_t zeros = 0, ternary = 0;
  for (const runtime::PackedSection& section : model.sections()) {
    Json entry = Json::object();
    entry["layout"] = section.layout;
    entry["offset"] = static_cast<std::int64_t>(section.offset);
    entry["bytes"] = static_cast<std::int64_t>(section.bytes);
    if (section.rows > 0) {
      entry["rows"] = section.rows;
      entry["cols"] = section.cols;
    }
    if (section.scale > 0.0f) {
      const std::int64_t size = section.rows * section.cols;
      entry["scale"] = static_cast<double>(section.scale);
      entry["zeros"] = 1.0 - static_cast<double>(section.nonzero) / static_cast<double>(size);
      zeros += size - section.nonzero;
      ternary += size;
    }
    entry["sha256"] = section.sha256;
    tensors[section.name] = std::move(entry);
  }
  result["kind"] = "packed model";
  result["file"] = path;
  if (verify) result["verified"] = true;  // open would have thrown
  result["bytes"] = static_cast<std::int64_t>(model.file_bytes());
  result["identity"] = model.identity();
  result["mode"] = model.mode();
  result["head"] = runtime::head_class_name(model.head().kind);
  result["tokenizer"] = model.tokenizer_kind();
  result["kv_bits"] = model.cache_format().kv_bits;
  result["q_bits"] = model.cache_format().q_bits;
  result["ternary_weights"] = ternary;
  result["ternary_zeros"] = ternary > 0 ? static_cast<double>(zeros) / static_cast<double>(ternary) : 0.0;
  result["config"] = model.config_json();
  result["provenance"] = model.provenance();
  result["sections"] = std::move(tensors);
  return result;
}

}  // namespace a48::tools
