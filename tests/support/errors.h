// CHECK_ERROR(expression, kind, "part", …): the expression throws an Error of that kind whose message holds
// every part.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace a48::test {

/// "" when `run` fails as it should, else what happened instead.
template <typename Run>
std::string unlike_error(const Run& run, ErrorKind kind, std::initializer_list<std::string_view> parts) {
  try {
    run();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.kind() != kind)
      return "kind " + std::to_string(static_cast<int>(error.kind())) + ": " + message;
    for (const std::string_view part : parts)
      if (message.find(part) == std::string::npos)
        return "\"" + std::string(part) + "\" is missing in: " + message;
    return "";
  }
  return "no error";
}

/// What `run` fails with; "no error" when it does not.
template <typename Run>
std::string message_of_error(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace a48::test

#define CHECK_ERROR(expression, kind, ...) \
  CHECK(::a48::test::unlike_error([&] { static_cast<void>(expression); }, (kind), {__VA_ARGS__}) == "")
