// Sums over the sections of a packed file, by what they are and by projection.
#include "core/runtime/packed_summary.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime/pack_model.h"
#include "core/runtime/packed_contents.h"

namespace a48::runtime {
namespace {

bool is_ternary_section(const PackedSection& s) { return s.layout.starts_with("T2_"); }

const char* group_of(const PackedSection& s) {
  if (is_ternary_section(s)) return "ternary";
  if (s.name == section::kEmbedding) return "embedding";
  if (s.name == section::kHead || s.name == section::kHeadScales) return "head";
  return s.layout == "JSON" || s.layout == "bytes" ? "texts" : "norms";
}

struct Total {
  std::string name;
  std::uint64_t bytes = 0;
  std::int64_t weights = 0, nonzero = 0;
};

Total& total_of(std::vector<Total>& totals, const std::string& name) {
  const auto found = std::ranges::find(totals, name, &Total::name);
  if (found != totals.end()) return *found;
  return totals.emplace_back(Total{.name = name});
}

/// "model.layers.7.mlp.up_proj.weight" -> "up_proj"
std::string projection_of(const std::string& name) {
  const std::size_t end = name.rfind('.'), begin = name.rfind('.', end - 1) + 1;
  return name.substr(begin, end - begin);
}

Json section_json(const PackedSection& s) {
  Json json = Json::object();
  json["name"] = s.name;
  json["layout"] = s.layout;
  if (s.rows > 0) {
    json["rows"] = s.rows;
    json["cols"] = s.cols;
  }
  json["offset"] = s.offset;
  json["bytes"] = s.bytes;
  if (is_ternary_section(s)) {
    json["scale"] = static_cast<double>(s.scale);
    json["nonzero"] = s.nonzero;
  }
  json["sha256"] = s.sha256;
  return json;
}

}  // namespace

Json summary_of(const PackedModel& packed) {
  const config::Model& m = packed.model();
  Json json = Json::object();
  json["file"] = packed.source();
  json["identity"] = packed.identity();
  json["bytes"] = packed.file_bytes();
  json["mode"] = packed.mode();
  json["head"] = head_class_name(packed.head().kind);
  json["tied"] = m.tie_word_embeddings;
  json["tokenizer"] = packed.tokenizer_kind();
  json["q_bits"] = packed.cache_format().q_bits;
  json["kv_bits"] = packed.cache_format().kv_bits;
  json["bos_bits"] = packed.cache_format().bos_bits;
  Json& shape = json["model"];
  shape["vocab_size"] = m.vocab_size;
  shape["hidden_size"] = m.hidden_size;
  shape["intermediate_size"] = m.intermediate_size;
  shape["num_hidden_layers"] = m.num_hidden_layers;
  shape["num_attention_heads"] = m.num_attention_heads;
  shape["num_key_value_heads"] = m.kv_heads();
  shape["max_position_embeddings"] = m.max_position_embeddings;
  shape["non_embedding_parameters"] = config::non_embedding_parameters(m);

  std::vector<Total> groups, projections;
  Json sections = Json::array();
  for (const PackedSection& s : packed.sections()) {
    Total& group = total_of(groups, group_of(s));
    group.bytes += s.bytes;
    group.weights += s.rows * s.cols;
    if (is_ternary_section(s)) {
      Total& projection = total_of(projections, projection_of(s.name));
      projection.weights += s.rows * s.cols;
      projection.nonzero += s.nonzero;
    }
    sections.push_back(section_json(s));
  }
  json["groups"] = Json::array();
  for (const Total& total : groups) {
    Json group = Json::object();
    group["group"] = total.name;
    group["bytes"] = total.bytes;
    group["weights"] = total.weights;
    json["groups"].push_back(std::move(group));
  }
  json["projections"] = Json::array();
  for (const Total& total : projections) {
    Json projection = Json::object();
    projection["projection"] = total.name;
    projection["weights"] = total.weights;
    projection["nonzero"] = static_cast<double>(total.nonzero) / static_cast<double>(total.weights);
    json["projections"].push_back(std::move(projection));
  }
  json["sections"] = std::move(sections);
  return json;
}

}  // namespace a48::runtime
