// Exit codes of every program, and the error kinds that map to them. Only `main` turns a kind into a code.
#pragma once

namespace a48 {

enum class ExitCode : int {
  done = 0,
  internal = 1,      // a bug of ours
  usage = 2,         // command line or configuration
  bad_input = 3,     // input missing, truncated, altered or not matching
  check_failed = 4,  // a verification ran and found a difference
  not_finite = 5,    // training met too many non-finite steps
  stopped = 6,       // stopped on request, state saved
  no_resources = 7,  // memory, disk, device or a rank is missing
};

enum class ErrorKind : int {
  internal,
  config,
  bad_input,
  check_failed,
  not_finite,
  stopped,
  no_resources,
};

constexpr ExitCode exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::internal:
      return ExitCode::internal;
    case ErrorKind::config:
      return ExitCode::usage;
    case ErrorKind::bad_input:
      return ExitCode::bad_input;
    case ErrorKind::check_failed:
      return ExitCode::check_failed;
    case ErrorKind::not_finite:
      return ExitCode::not_finite;
    case ErrorKind::stopped:
      return ExitCode::stopped;
    case ErrorKind::no_resources:
      return ExitCode::no_resources;
  }
  return ExitCode::internal;
}

}  // namespace a48
