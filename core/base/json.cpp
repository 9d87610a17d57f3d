// nlohmann's event parser reads the text and reports values; Builder makes a Json of them and refuses what
// that parser lets pass: duplicate keys, deep nesting, integers beyond 63 bits, a NUL byte as end of text.
#include "core/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/check.h"

namespace a48 {
namespace {

constexpr std::size_t kMaxDepth = 64;

/// Where a text comes from: a file, and the number of its line that the text begins with.
struct Source {
  const std::string& name;
  std::int64_t first_line;
};

/// "source:line:column"; the column counts characters from 1.
std::string place(std::string_view text, std::size_t offset, const Source& source) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  const auto starts_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  const auto line = source.first_line + std::count(before.begin(), before.end(), '\n');
  const auto column = 1 + std::count_if(before.begin() + static_cast<std::ptrdiff_t>(line_start),
                                        before.end(), starts_character);
  return concat(source.name, ":", line, ":", column);
}

/// Iterator over the text that tells, through a shared counter, how far the parser has read.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* read) : at_(at), read_(read) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*read_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* read_;
};

class Builder {
 public:
  Builder(std::string_view text, const Source& source, const std::size_t& read,
          std::vector<std::string>* duplicates)
      : text_(text), source_(source), read_(read), duplicates_(duplicates) {}

  Json take() { return std::move(root_); }

  // The interface that nlohmann::json::sax_parse calls.
  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(std::int64_t value) { return put(value); }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) reject_integer(std::to_string(value));
    return put(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string& digits) {
    if (digits.find_first_of(".eE") == std::string::npos) reject_integer(digits);
    return put(value);
  }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(std::vector<std::uint8_t>&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    Level& level = levels_.back();
    level.key = name;
    level.repeated = level.container.find(name) != nullptr;
    if (level.repeated) {
      const std::string message =
          concat(place(text_, opening_quote(), source_), ": duplicate key \"", path(), "\"; keep one");
      if (duplicates_ == nullptr) throw Error(ErrorKind::bad_input, message);
      duplicates_->push_back(message);
    }
    return true;
  }

  bool parse_error(std::size_t offset, const std::string&, const nlohmann::detail::exception& error) {
    std::string reason = error.what();
    if (const std::size_t column = reason.find("column "); column != std::string::npos) {
      const std::size_t colon = reason.find(": ", column);
      if (colon != std::string::npos) reason = reason.substr(colon + 2);
    } else if (const std::size_t bracket = reason.find("] "); bracket != std::string::npos) {
      reason = reason.substr(bracket + 2);
    }
    fail(ErrorKind::bad_input, place(text_, offset > 0 ? offset - 1 : 0, source_), ": not JSON: ", reason);
  }

 private:
  struct Level {
    Json container;
    std::string key;        // of the member being read
    bool repeated = false;  // its key stood there before; the first value stays
  };

  bool put(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = levels_.back();
    if (level.container.is_array())
      level.container.push_back(std::move(value));
    else if (!level.repeated)
      level.container.as_object().emplace_back(level.key, std::move(value));
    return true;
  }

  bool open(Json container) {
    A48_CHECK(levels_.size() < kMaxDepth, ErrorKind::bad_input, place(text_, read_ - 1, source_),
              ": nested deeper than ", kMaxDepth, " levels");
    levels_.push_back({std::move(container), "", false});
    return true;
  }

  bool close() {
    Json container = std::move(levels_.back().container);
    levels_.pop_back();
    return put(std::move(container));
  }

  /// The parser may have read one character beyond the number.
  [[noreturn]] void reject_integer(const std::string& digits) {
    fail(ErrorKind::bad_input, place(text_, text_.rfind(digits, read_ - digits.size()), source_),
         ": the integer ", digits, " does not fit in 63 bits");
  }

  /// Of the key that the parser has just read.
  std::size_t opening_quote() const {
    std::size_t at = read_ - 1;  // the closing quote
    for (;;) {
      at = text_.rfind('"', at - 1);
      std::size_t backslashes = 0;
      while (at > backslashes && text_[at - 1 - backslashes] == '\\') ++backslashes;
      if (backslashes % 2 == 0) return at;
    }
  }

  /// Dotted path of the current key.
  std::string path() const {
    std::string joined;
    for (const Level& level : levels_) {
      const std::string step =
          level.container.is_array() ? std::to_string(level.container.size()) : level.key;
      joined.append(joined.empty() ? "" : ".").append(step);
    }
    return joined;
  }

  std::string_view text_;
  const Source& source_;
  const std::size_t& read_;
  std::vector<std::string>* duplicates_;
  std::vector<Level> levels_;
  Json root_;
};

std::string quoted(const std::string& text) {
  // Bytes that are no UTF-8 become U+FFFD.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string printed(double value) {
  if (!std::isfinite(value)) return "null";
  char digits[32];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  std::string text(digits, static_cast<std::size_t>(end - digits));
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

void print(const Json& value, int indent, int depth, std::string& out) {
  const auto new_line = [&](int levels) {
    if (indent >= 0) out.append("\n").append(static_cast<std::size_t>(levels * indent), ' ');
  };
  const char* const separator = indent >= 0 ? "," : ", ";
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_integer()) {
    out += std::to_string(value.as_int());
  } else if (value.is_number()) {
    out += printed(value.as_double());
  } else if (value.is_string()) {
    out += quoted(value.as_string());
  } else if (value.size() == 0) {
    out += value.is_array() ? "[]" : "{}";
  } else if (value.is_array()) {
    const char* before = "[";
    for (const Json& element : value.as_array()) {
      out += before;
      new_line(depth + 1);
      print(element, indent, depth + 1, out);
      before = separator;
    }
    new_line(depth);
    out += "]";
  } else {
    const char* before = "{";
    for (const auto& [key, member] : value.as_object()) {
      out += before;
      new_line(depth + 1);
      out += quoted(key) + ": ";
      print(member, indent, depth + 1, out);
      before = separator;
    }
    new_line(depth);
    out += "}";
  }
}

[[noreturn]] void wrong_type(const char* wanted, const Json& value) {
  std::string shown = value.dump();
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  fail(ErrorKind::bad_input, "expected ", wanted, ", found the ", value.type_name(), " ", shown);
}

}  // namespace

const char* Json::type_name() const {
  constexpr const char* kNames[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  return kNames[value_.index()];
}

bool Json::as_bool() const {
  if (!is_bool()) wrong_type("a boolean", *this);
  return std::get<bool>(value_);
}

std::int64_t Json::as_int() const {
  if (!is_integer()) wrong_type("an integer", *this);
  return std::get<std::int64_t>(value_);
}

double Json::as_double() const {
  if (!is_number()) wrong_type("a number", *this);
  return is_integer() ? static_cast<double>(std::get<std::int64_t>(value_)) : std::get<double>(value_);
}

const std::string& Json::as_string() const {
  if (!is_string()) wrong_type("a string", *this);
  return std::get<std::string>(value_);
}

const Json::Array& Json::as_array() const {
  if (!is_array()) wrong_type("an array", *this);
  return std::get<Array>(value_);
}

Json::Array& Json::as_array() {
  if (!is_array()) wrong_type("an array", *this);
  return std::get<Array>(value_);
}

const Json::Object& Json::as_object() const {
  if (!is_object()) wrong_type("an object", *this);
  return std::get<Object>(value_);
}

Json::Object& Json::as_object() {
  if (!is_object()) wrong_type("an object", *this);
  return std::get<Object>(value_);
}

std::size_t Json::size() const {
  if (is_array()) return as_array().size();
  if (is_object()) return as_object().size();
  return 0;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : as_object())
    if (name == key) return &value;
  return nullptr;
}

Json* Json::find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }

const Json& Json::at(std::string_view key) const {
  const Json* const value = find(key);
  A48_CHECK(value != nullptr, ErrorKind::bad_input, "no member \"", key, "\" in the ", type_name());
  return *value;
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) *this = object();
  if (Json* const value = find(key)) return *value;
  return as_object().emplace_back(std::string(key), Json()).second;
}

void Json::push_back(Json element) {
  if (is_null()) *this = array();
  as_array().push_back(std::move(element));
}

bool Json::operator==(const Json& other) const {
  if (!is_object() || !other.is_object()) return value_ == other.value_;
  if (size() != other.size()) return false;
  return std::ranges::all_of(as_object(), [&](const Member& member) {
    const Json* const twin = other.find(member.first);
    return twin != nullptr && *twin == member.second;
  });
}

Json Json::parse(std::string_view text, const std::string& name, std::vector<std::string>* duplicates,
                 std::int64_t first_line) {
  const Source source{name, first_line};
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos)
    fail(ErrorKind::bad_input, place(text, nul, source), ": not JSON: a NUL byte");
  std::size_t read = 0;
  Builder builder(text, source, read, duplicates);
  nlohmann::json::sax_parse(CountingIterator(text.data(), &read),
                            CountingIterator(text.data() + text.size(), &read), &builder);
  return builder.take();
}

std::string Json::dump(int indent) const {
  std::string out;
  print(*this, indent, 0, out);
  return out;
}

}  // namespace a48
