// The one error type, and the two ways to demand something: A48_CHECK for the user's data (throws Error),
// A48_ASSERT for our own invariants (prints the values and aborts). Kinds and exit codes: exit_code.h.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/base/exit_code.h"

namespace a48 {

/// An error that a person can act on: what, where, value found, values allowed, next step.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

/// Joins parts with operator<<; floats print with enough digits to tell neighbours apart.
template <typename... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream out;
  out.precision(9);
  (static_cast<void>(out << std::forward<Parts>(parts)), ...);
  return out.str();
}

template <typename... Parts>
[[noreturn]] void fail(ErrorKind kind, Parts&&... parts) {
  throw Error(kind, concat(std::forward<Parts>(parts)...));
}

template <typename... Parts>
[[noreturn]] void assert_failed(const char* file, int line, const char* condition, Parts&&... parts) {
  const std::string values = concat(std::forward<Parts>(parts)...);
  std::fprintf(stderr, "%s:%d: assertion failed: %s %s\n", file, line, condition, values.c_str());
  std::abort();
}

}  // namespace a48

#define A48_CHECK(condition, kind, ...)                 \
  do {                                                  \
    if (!(condition)) ::a48::fail((kind), __VA_ARGS__); \
  } while (false)

#define A48_ASSERT(condition, ...)                                                                     \
  do {                                                                                                 \
    if (!(condition)) ::a48::assert_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)

#ifdef A48_DEBUG
#define A48_DEBUG_ASSERT(...) A48_ASSERT(__VA_ARGS__)
#else
#define A48_DEBUG_ASSERT(...) ((void)0)
#endif
