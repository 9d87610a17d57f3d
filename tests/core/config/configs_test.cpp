// Every file in configs/ is valid by the field table and by the schema, the schema is current, and both
// refuse the same fixtures.
#include <algorithm>
#include <cmath>

#include "core/base/files.h"
#include "core/config/print.h"
#include "core/config/validate.h"
#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;
namespace {

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "integer")
    return value.is_integer() || (value.is_number() && value.as_double() == std::floor(value.as_double()));
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

/// The part of JSON Schema that ours uses; a keyword beyond it fails the test.
bool conforms(const Json& value, const Json& schema, const Json& root) {
  for (const auto& [keyword, rule] : schema.as_object()) {
    if (keyword == "$schema" || keyword == "title" || keyword == "description" || keyword == "default")
      continue;
    if (keyword == "$ref") {
      REQUIRE(rule.as_string().starts_with("#/properties/"));
      if (!conforms(value, root.at("properties").at(rule.as_string().substr(13)), root)) return false;
    } else if (keyword == "type") {
      const Json::Array types = rule.is_array() ? rule.as_array() : Json::Array{rule};
      if (std::ranges::none_of(types, [&](const Json& type) { return is_of_type(value, type.as_string()); }))
        return false;
    } else if (keyword == "enum") {
      if (std::ranges::find(rule.as_array(), value) == rule.as_array().end()) return false;
    } else if (keyword == "minimum") {
      if (value.is_number() && value.as_double() < rule.as_double()) return false;
    } else if (keyword == "exclusiveMinimum") {
      if (value.is_number() && value.as_double() <= rule.as_double()) return false;
    } else if (keyword == "maximum") {
      if (value.is_number() && value.as_double() > rule.as_double()) return false;
    } else if (keyword == "minItems") {
      if (value.is_array() && static_cast<std::int64_t>(value.size()) < rule.as_int()) return false;
    } else if (keyword == "items") {
      if (value.is_array() && !std::ranges::all_of(value.as_array(), [&](const Json& item) {
            return conforms(item, rule, root);
          }))
        return false;
    } else if (keyword == "properties") {
      if (!value.is_object()) continue;
      for (const auto& [name, member] : value.as_object())
        if (const Json* const property = rule.find(name);
            property != nullptr && !conforms(member, *property, root))
          return false;
    } else if (keyword == "additionalProperties") {
      REQUIRE(rule == Json(false));
      if (!value.is_object()) continue;
      for (const auto& [name, member] : value.as_object())
        if (schema.at("properties").find(name) == nullptr) return false;
    } else if (keyword == "required") {
      for (const Json& name : rule.as_array())
        if (value.is_object() && value.find(name.as_string()) == nullptr) return false;
    } else {
      FAIL("the test knows no schema keyword " << keyword);
    }
  }
  return true;
}

bool conforms(const Json& document) {
  const Json schema = json_schema();
  return conforms(document, schema, schema);
}

}  // namespace

TEST_CASE("configs/schema.json is what `a48 config schema` prints") {
  INFO("write it anew: a48 config schema > configs/schema.json");
  CHECK(read_file("configs/schema.json") == json_schema().dump(2) + "\n");
}

TEST_CASE("every file in configs/ validates, by the table and by the schema") {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("configs")) {
    const Path& path = entry.path();
    if (path.extension() != ".json" || path.filename() == "schema.json" ||
        path.string().find("/results/") != std::string::npos)
      continue;
    INFO(path.string());
    CHECK_NOTHROW(load_file(path));
    CHECK(conforms(Json::parse(read_file(path), path)));
    ++files;
  }
  CHECK(files >= 4);
}

TEST_CASE("what the program resolves conforms to the schema") {
  CHECK(conforms(resolved(example())));
  CHECK(
      conforms(resolved(example({"quant.down=fp4", "stages.1.quant.down=null", "stages.0.optim.min_lr=0"}))));
  CHECK(conforms(Json::parse(kExample, "")));
}

TEST_CASE("the schema refuses what the parser refuses") {
  struct Fixture {
    const char* path;
    Json value;
  };
  const Fixture fixtures[] = {
      {"model", 3}, {"modle", Json::object()}, {"recipe", "a48"}, {"stages", Json::array()}};
  for (const Fixture& fixture : fixtures) {
    Json document = Json::parse(kExample, "");
    document[fixture.path] = fixture.value;
    INFO(fixture.path);
    CHECK_FALSE(conforms(document));
    CHECK_THROWS(load_json(document, "fixture"));
  }
  const Fixture in_blocks[] = {{"hidden_size", 0}, {"hidden_size", 1.5},   {"hidden_size", "x"},
                               {"sub_norm", 1},    {"hidden_act", "relu"}, {"rms_norm_eps", 0.0},
                               {"preset", "8B"},   {"hiden_size", 4}};
  for (const Fixture& fixture : in_blocks) {
    Json document = Json::parse(kExample, "");
    document["model"][fixture.path] = fixture.value;
    INFO(fixture.path << " = " << fixture.value.dump());
    CHECK_FALSE(conforms(document));
    CHECK_THROWS(load_json(document, "fixture"));
  }
  for (const Fixture& fixture : {Fixture{"until", 0.0}, Fixture{"mode", "v2"},
                                 Fixture{"quant", Json::parse(R"({"o": "int5"})", "")}}) {
    Json document = Json::parse(kExample, "");
    document["stages"].as_array()[0][fixture.path] = fixture.value;
    INFO(fixture.path);
    CHECK_FALSE(conforms(document));
    CHECK_THROWS(load_json(document, "fixture"));
  }
}

}  // namespace a48::test
