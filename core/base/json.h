// Json: the value type of every configuration, manifest and report; the only user of nlohmann_json is
// json.cpp. Objects keep their insertion order; integers and doubles stay apart; doubles print so that they
// read back bit-identical.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace a48 {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() : value_(nullptr) {}
  Json(std::nullptr_t) : value_(nullptr) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(static_cast<std::int64_t>(value)) {}
  Json(std::int64_t value) : value_(value) {}
  Json(std::uint64_t value) : value_(static_cast<std::int64_t>(value)) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  static Json object() { return Json(Object{}); }
  static Json array() { return Json(Array{}); }

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  const char* type_name() const;  // "null", "boolean", "integer", "number", "string", "array", "object"

  // Typed access; another type is Error(bad_input) that says which was found. as_double accepts integers.
  bool as_bool() const;
  std::int64_t as_int() const;
  double as_double() const;
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  std::size_t size() const;                      // members or elements; 0 for scalars
  const Json* find(std::string_view key) const;  // nullptr when absent or when this is no object
  Json* find(std::string_view key);
  const Json& at(std::string_view key) const;  // Error(bad_input) naming the key when absent
  Json& operator[](std::string_view key);      // inserts null when absent; null becomes an object first
  void push_back(Json element);                // null becomes an array first
  bool operator==(const Json& other) const;

  /// Strict JSON (UTF-8, no comments, no duplicate keys, nothing after the value, depth <= 64).
  /// Error(bad_input) names `source`, line and column. With `duplicates`, each repeated key is described
  /// there instead, and its first value stays. `first_line`: of a text that is part of `source`.
  static Json parse(std::string_view text, const std::string& source,
                    std::vector<std::string>* duplicates = nullptr, std::int64_t first_line = 1);
  /// indent < 0: one line. A number that is not finite prints as null, bytes that are no UTF-8 as U+FFFD.
  std::string dump(int indent = -1) const;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_;
};

}  // namespace a48
