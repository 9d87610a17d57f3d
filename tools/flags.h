// Flags, numbers in range and commands over CLI11, with our own errors: what cli.cpp and cli_bench.cpp are
// written in. Included by these two alone; the only user of CLI11.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/exit_code.h"
#include "core/quant/scheme.h"

namespace a48::tools {

inline constexpr int kMaxThreads = 4096;
inline constexpr std::int64_t kMaxCount = 1'000'000'000;  // of tokens, steps, pieces
inline constexpr std::int64_t kMaxVocab = (1 << 24) - 1;

/// "a, b, c"
std::string joined(const std::vector<std::string>& names);
std::vector<std::string> mode_names();
quant::Mode mode_of(const std::string& name);
std::vector<std::string> head_names();
void check_choice(const char* flag, const std::string& value, const std::vector<std::string>& allowed);

/// What a numeric flag may be.
template <typename Number>
struct Range {
  Number least, most;
  const char* note = "";       // in brackets behind the least, or what else to know
  bool without_least = false;  // the least itself is not allowed
};

template <typename Number>
std::string text_of(const Range<Number>& range) {
  return concat(range.without_least ? "above " : "", range.least, range.note,
                range.without_least ? " up to " : " … ", range.most);
}

/// The whole word as a number of its kind and range; CLI11 would cut oversize integers to what fits and take
/// "inf" for a number.
template <typename Number>
Number number_of(const std::string& flag, const std::string& word, const Range<Number>& range) {
  constexpr const char* kKind = std::is_integral_v<Number> ? "an integer" : "a number";
  Number value{};
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  const bool is_number = stop == end && !word.empty() && error != std::errc::invalid_argument;
  if (!is_number)
    throw CLI::ValidationError(concat(flag, " \"", word, "\" is not ", kKind, "; allowed: ", text_of(range)));
  const bool holds = error == std::errc() && value <= range.most &&
                     (range.without_least ? value > range.least : value >= range.least);
  if (!holds)
    throw CLI::ValidationError(concat(flag, " ", word, " is out of range; allowed: ", text_of(range)));
  return value;
}

template <typename Number>
CLI::Option* add_number(CLI::App* command, const std::string& flag, Number& value, const Range<Number>& range,
                        const std::string& help) {
  const auto read = [flag, &value, range](const std::string& word) { value = number_of(flag, word, range); };
  return command->add_option_function<std::string>(flag, read, help)
      ->type_name(std::is_integral_v<Number> ? "INT" : "NUMBER")
      ->default_str(concat(value));
}

/// Several numbers with commas between.
template <typename Number>
CLI::Option* add_numbers(CLI::App* command, const std::string& flag, std::vector<Number>& values,
                         const Range<Number>& range, const std::string& help) {
  const auto read = [flag, &values, range](const std::vector<std::string>& words) {
    values.clear();
    for (const std::string& word : words) values.push_back(number_of(flag, word, range));
  };
  std::string shown;
  for (const Number value : values) shown += concat(shown.empty() ? "" : ",", value);
  return command->add_option_function<std::vector<std::string>>(flag, read, help)
      ->type_name("INT,…")
      ->delimiter(',')
      ->default_str(shown);
}

CLI::Option* add_threads(CLI::App* command, int& threads);
/// --device cpu or cuda, read with is_gpu when all is parsed.
std::shared_ptr<std::string> add_device(CLI::App* command, const std::string& what);
bool is_gpu(const std::string& device);
/// What a packed model, or a checkpoint as one, keeps of keys and values.
void add_cache_format(CLI::App* command, int& kv_bits, int& q_bits);

/// Commands below commands, their help, and what a wrong word is told.
class CommandTree {
 public:
  CommandTree(std::string program, const std::string& version);

  /// A command of `parent`; of the program itself when that is nullptr.
  CLI::App* add(CLI::App* parent, const char* name, const char* what, const std::string& usage,
                const std::string& example);

  /// `check` turns what was read into options that hold together, or throws; then the command runs.
  template <typename Options>
  void on_parsed(CLI::App* command, const std::function<ExitCode(const Options&)>& run,
                 std::shared_ptr<Options> options, std::function<void(Options&)> check = {}) {
    command->callback([this, run, options, check] {
      selected_ = [=] {
        if (check) check(*options);
        return run(*options);
      };
    });
  }

  /// Parses, and runs the command that was named.
  ExitCode run(const std::vector<std::string>& arguments);
  const std::string& program() const { return program_; }

 private:
  class Formatter;

  void check_command(const CLI::App& parent, const std::vector<std::string>& arguments, std::size_t at) const;
  const CLI::App& selected_app() const;
  std::string command_path() const;
  std::string help_hint() const;
  void report_unexpected() const;

  std::string program_;
  std::shared_ptr<Formatter> formatter_;
  CLI::App app_;
  std::function<ExitCode()> selected_;
};

}  // namespace a48::tools
