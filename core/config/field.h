// What one line of the field table is: a name, the member it fills, what it may hold, its help and its resume
// mark. The lines themselves: fields.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/config/nearest.h"

namespace a48::config {

/// May a resumed run differ in this field from its checkpoint?
enum class Resume { same, may_change };

template <typename Block>
struct Field {
  std::string name;
  std::string type;     // "integer", "number", "boolean", "text", "list of texts", "choice"
  std::string allowed;  // "1 … 131072", "relu2, silu"; empty = anything of the type
  std::string help;     // one line, with unit
  Resume resume = Resume::same;
  Json schema;                                               // type, range and choices in JSON Schema's words
  std::vector<std::pair<std::string, std::string>> choices;  // name, help
  std::function<Json(const Block&)> get;                     // null: an optional member that is not set
  /// Returns what is wrong with the value, or nothing.
  std::function<std::optional<std::string>(Block&, const Json&)> set;
};

/// Bounds of a number; the low one may be excluded.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;

  bool holds(double value) const { return (above_low ? value > low : value >= low) && value <= high; }
};

inline constexpr double kLargestExactInteger = 9007199254740991.0;  // 2^53 - 1

template <typename Value>
struct Choice {
  Value value;
  const char* name;
  const char* help;
};

namespace detail {

/// Bounds print as integers where they are integers.
inline std::string printed(double bound) {
  return bound == std::floor(bound) && std::abs(bound) <= kLargestExactInteger
             ? std::to_string(static_cast<std::int64_t>(bound))
             : Json(bound).dump();
}

inline std::string printed(const Range& range) {
  const bool has_low = std::isfinite(range.low), has_high = std::isfinite(range.high);
  if (has_low && has_high)
    return range.above_low ? concat("above ", printed(range.low), " up to ", printed(range.high))
                           : concat(printed(range.low), " … ", printed(range.high));
  if (has_low) return concat(range.above_low ? "above " : "at least ", printed(range.low));
  return has_high ? concat("at most ", printed(range.high)) : "";
}

inline Json range_schema(const char* type, const Range& range) {
  const auto bound = [&](double value) {
    return std::string_view(type) == "integer" ? Json(static_cast<std::int64_t>(value)) : Json(value);
  };
  Json schema = Json::object();
  schema["type"] = type;
  if (std::isfinite(range.low)) schema[range.above_low ? "exclusiveMinimum" : "minimum"] = bound(range.low);
  if (std::isfinite(range.high)) schema["maximum"] = bound(range.high);
  return schema;
}

inline std::string shown(const Json& value) {
  const std::string text = value.dump();
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

inline std::string wrong_type(const std::string& wanted, const Json& found, const std::string& allowed) {
  return concat("expected ", wanted, ", found the ", found.type_name(), " ", shown(found),
                allowed.empty() ? "" : "; allowed: ", allowed);
}

/// 1e6 is an integer too.
inline std::optional<std::int64_t> integer_of(const Json& value) {
  if (value.is_integer()) return value.as_int();
  if (!value.is_number()) return {};
  const double number = value.as_double();
  if (number != std::floor(number) || std::abs(number) > kLargestExactInteger) return {};
  return static_cast<std::int64_t>(number);
}

/// An optional member: null says "not set".
template <typename Block, typename Value>
void make_optional(Field<Block>& field, std::optional<Value> Block::*member,
                   std::function<Json(const Value&)> get_value,
                   std::function<std::optional<std::string>(Value&, const Json&)> set_value) {
  field.get = [member, get_value](const Block& block) {
    return (block.*member).has_value() ? get_value(*(block.*member)) : Json();
  };
  field.set = [member, set_value](Block& block, const Json& json) -> std::optional<std::string> {
    if (json.is_null()) {
      (block.*member).reset();
      return {};
    }
    Value value{};
    if (auto problem = set_value(value, json)) return problem;
    block.*member = value;
    return {};
  };
  if (const Json* const type = field.schema.find("type"))
    field.schema["type"] = Json::Array{*type, "null"};
  else
    field.schema["enum"].push_back(Json());
}

inline std::optional<std::string> set_number(double& value, const Json& json, const Range& range) {
  const std::string allowed = printed(range);
  if (!json.is_number()) return wrong_type("a number", json, allowed);
  if (!range.holds(json.as_double())) return concat(shown(json), " is out of range; allowed: ", allowed);
  value = json.as_double();
  return {};
}

template <typename Value>
Json name_of(const Value& value, const std::vector<Choice<Value>>& choices) {
  for (const Choice<Value>& choice : choices)
    if (choice.value == value) return choice.name;
  A48_ASSERT(false, "a value without a name");
  return {};
}

template <typename Value>
std::optional<std::string> set_choice(Value& value, const Json& json,
                                      const std::vector<Choice<Value>>& choices, const std::string& allowed,
                                      const std::vector<std::string>& later = {}) {
  if (!json.is_string()) return wrong_type("a string", json, allowed);
  if (std::find(later.begin(), later.end(), json.as_string()) != later.end())
    return concat(shown(json), " is not available yet; allowed in this version: ", allowed);
  std::vector<std::string> names;
  for (const Choice<Value>& choice : choices) {
    names.emplace_back(choice.name);
    if (json.as_string() != choice.name) continue;
    value = choice.value;
    return {};
  }
  const std::string nearest = nearest_name(json.as_string(), names);
  return concat(shown(json), " is not a choice", nearest.empty() ? "" : "; did you mean \"", nearest,
                nearest.empty() ? "" : "\"?", "; allowed: ", allowed);
}

template <typename Block, typename Value>
Field<Block> choice_field(const char* name, const std::vector<Choice<Value>>& choices, const char* help,
                          Resume resume) {
  Field<Block> field{name, "choice", "", help, resume, Json::object(), {}, {}, {}};
  for (const Choice<Value>& choice : choices) {
    field.allowed.append(field.allowed.empty() ? "" : ", ").append(choice.name);
    field.choices.emplace_back(choice.name, choice.help);
    field.schema["enum"].push_back(choice.name);
  }
  return field;
}

}  // namespace detail

// One maker per kind of member.
// -------------------------------------------------------------------------------------------

template <typename Block>
Field<Block> integer(const char* name, std::int64_t Block::*member, Range range, const char* help,
                     Resume resume) {
  const std::string allowed = detail::printed(range);
  Field<Block> field{name, "integer", allowed, help, resume, detail::range_schema("integer", range),
                     {},   {},        {}};
  field.get = [member](const Block& block) { return Json(block.*member); };
  field.set = [=](Block& block, const Json& json) -> std::optional<std::string> {
    const std::optional<std::int64_t> value = detail::integer_of(json);
    if (!value) return detail::wrong_type("an integer", json, allowed);
    if (!range.holds(static_cast<double>(*value)))
      return concat(*value, " is out of range; allowed: ", allowed);
    block.*member = *value;
    return {};
  };
  return field;
}

template <typename Block>
Field<Block> number(const char* name, double Block::*member, Range range, const char* help, Resume resume) {
  Field<Block> field{name, "number", detail::printed(range),
                     help, resume,   detail::range_schema("number", range),
                     {},   {},       {}};
  field.get = [member](const Block& block) { return Json(block.*member); };
  field.set = [=](Block& block, const Json& json) { return detail::set_number(block.*member, json, range); };
  return field;
}

template <typename Block>
Field<Block> number(const char* name, std::optional<double> Block::*member, Range range, const char* help,
                    Resume resume) {
  Field<Block> field{name, "number", detail::printed(range),
                     help, resume,   detail::range_schema("number", range),
                     {},   {},       {}};
  detail::make_optional<Block, double>(
      field, member, [](const double& value) { return Json(value); },
      [range](double& value, const Json& json) { return detail::set_number(value, json, range); });
  return field;
}

template <typename Block>
Field<Block> flag(const char* name, bool Block::*member, const char* help, Resume resume) {
  Field<Block> field{name, "boolean", "true, false", help, resume, Json::object(), {}, {}, {}};
  field.schema["type"] = "boolean";
  field.get = [member](const Block& block) { return Json(block.*member); };
  field.set = [member](Block& block, const Json& json) -> std::optional<std::string> {
    if (!json.is_bool()) return detail::wrong_type("true or false", json, "");
    block.*member = json.as_bool();
    return {};
  };
  return field;
}

template <typename Block>
Field<Block> text(const char* name, std::string Block::*member, const char* help, Resume resume) {
  Field<Block> field{name, "text", "", help, resume, Json::object(), {}, {}, {}};
  field.schema["type"] = "string";
  field.get = [member](const Block& block) { return Json(block.*member); };
  field.set = [member](Block& block, const Json& json) -> std::optional<std::string> {
    if (!json.is_string()) return detail::wrong_type("a string", json, "");
    block.*member = json.as_string();
    return {};
  };
  return field;
}

template <typename Block>
Field<Block> texts(const char* name, std::vector<std::string> Block::*member, const char* help,
                   Resume resume) {
  Field<Block> field{name, "list of texts", "", help, resume, Json::object(), {}, {}, {}};
  field.schema["type"] = "array";
  field.schema["items"]["type"] = "string";
  field.get = [member](const Block& block) {
    Json list = Json::array();
    for (const std::string& item : block.*member) list.push_back(item);
    return list;
  };
  field.set = [member](Block& block, const Json& json) -> std::optional<std::string> {
    if (!json.is_array()) return detail::wrong_type("a list of strings", json, "");
    std::vector<std::string> items;
    for (const Json& item : json.as_array()) {
      if (!item.is_string()) return detail::wrong_type("a list of strings", item, "");
      items.push_back(item.as_string());
    }
    block.*member = std::move(items);
    return {};
  };
  return field;
}

/// `later`: names that a later version brings; their message says so.
template <typename Block, typename Value>
Field<Block> choice(const char* name, Value Block::*member, const std::vector<Choice<Value>>& choices,
                    const char* help, Resume resume, const std::vector<std::string>& later = {}) {
  Field<Block> field = detail::choice_field<Block, Value>(name, choices, help, resume);
  field.get = [member, choices](const Block& block) { return detail::name_of(block.*member, choices); };
  field.set = [=, allowed = field.allowed](Block& block, const Json& json) {
    return detail::set_choice(block.*member, json, choices, allowed, later);
  };
  return field;
}

template <typename Block, typename Value>
Field<Block> choice(const char* name, std::optional<Value> Block::*member,
                    const std::vector<Choice<Value>>& choices, const char* help, Resume resume) {
  Field<Block> field = detail::choice_field<Block, Value>(name, choices, help, resume);
  detail::make_optional<Block, Value>(
      field, member, [choices](const Value& value) { return detail::name_of(value, choices); },
      [choices, allowed = field.allowed](Value& value, const Json& json) {
        return detail::set_choice(value, json, choices, allowed);
      });
  return field;
}

}  // namespace a48::config
