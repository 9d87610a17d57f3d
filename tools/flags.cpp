#include "tools/flags.h"

#include <algorithm>
#include <iostream>

#include "core/config/nearest.h"

namespace a48::tools {
namespace {

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string nearest = config::nearest_name(word, names);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

}  // namespace

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

std::vector<std::string> mode_names() {
  std::vector<std::string> names;
  for (const quant::ModeRow& row : quant::kModes) names.emplace_back(row.name);
  return names;
}

quant::Mode mode_of(const std::string& name) {
  for (const quant::ModeRow& row : quant::kModes)
    if (name == row.name) return row.mode;
  fail(ErrorKind::config, "mode ", name, " is not known", did_you_mean(name, mode_names()),
       "; allowed: ", joined(mode_names()));
}

std::vector<std::string> head_names() { return {"f32", "bf16", "i8", "i6", "i4"}; }

void check_choice(const char* flag, const std::string& value, const std::vector<std::string>& allowed) {
  A48_CHECK(std::ranges::find(allowed, value) != allowed.end(), ErrorKind::config, flag, " ", value,
            " is not known", did_you_mean(value, allowed), "; allowed: ", joined(allowed));
}

CLI::Option* add_threads(CLI::App* command, int& threads) {
  return add_number(command, "--threads", threads, {0, kMaxThreads, " (physical cores)"},
                    "0 = physical cores");
}

std::shared_ptr<std::string> add_device(CLI::App* command, const std::string& what) {
  const auto device = std::make_shared<std::string>("cpu");
  command->add_option("--device", *device, "cpu or cuda: " + what)->capture_default_str();
  return device;
}

bool is_gpu(const std::string& device) {
  check_choice("--device", device, {"cpu", "cuda"});
  return device == "cuda";
}

void add_cache_format(CLI::App* command, int& kv_bits, int& q_bits) {
  command
      ->add_option("--kv-bits", kv_bits,
                   "keys and values are kept at 32, 16, 4 or 3 bits; 0 = as the model says")
      ->check(CLI::IsMember({0, 32, 16, 4, 3}))
      ->capture_default_str();
  command->add_option("--q-bits", q_bits, "with --kv-bits 4 or 3: queries at 16 (not quantized), 8 or 4 bits")
      ->check(CLI::IsMember({16, 8, 4}))
      ->capture_default_str();
}

// ---- commands

/// Our own usage line for each subcommand: CLI11's does not show how arguments stand together.
class CommandTree::Formatter : public CLI::Formatter {
 public:
  void set_usage(const CLI::App* app, std::string usage) { usages_[app] = std::move(usage); }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    const auto found = usages_.find(app);
    return found == usages_.end() ? CLI::Formatter::make_usage(app, name)
                                  : "\nUsage: " + found->second + "\n";
  }

 private:
  std::map<const CLI::App*, std::string> usages_;
};

CommandTree::CommandTree(std::string program, const std::string& version)
    : program_(std::move(program)),
      formatter_(std::make_shared<Formatter>()),
      app_("Trains and runs BitNet a4.8 language models.", program_) {
  app_.formatter(formatter_);
  formatter_->set_usage(
      &app_, program_ + " COMMAND …    (" + program_ + " COMMAND --help explains it, with an example)");
  app_.set_version_flag("--version", program_ + " " + version);
  app_.require_subcommand(1);
}

CLI::App* CommandTree::add(CLI::App* parent, const char* name, const char* what, const std::string& usage,
                           const std::string& example) {
  CLI::App* const command = (parent == nullptr ? &app_ : parent)->add_subcommand(name, what);
  command->formatter(formatter_);
  const std::string path = parent == nullptr ? program_ : program_ + " " + parent->get_name();
  formatter_->set_usage(command, path + " " + name + " " + usage);
  command->footer("Example:\n  " + path + " " + name + " " + example);
  return command;
}

ExitCode CommandTree::run(const std::vector<std::string>& arguments) {
  check_command(app_, arguments, 0);
  try {
    app_.parse(
        std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
  } catch (const CLI::CallForHelp&) {
    std::cout << app_.help();
    return ExitCode::done;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << "\n";
    return ExitCode::done;
  } catch (const CLI::ParseError& error) {
    report_unexpected();
    fail(ErrorKind::config, error.what(), "\n", help_hint());
  }
  return selected_();
}

// ---- errors

/// A word that stands where a command must stand, and is none.
void CommandTree::check_command(const CLI::App& parent, const std::vector<std::string>& arguments,
                                std::size_t at) const {
  std::vector<std::string> names;
  for (const CLI::App* command : parent.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  if (names.empty()) return;
  const std::string path = at == 0 ? program_ : program_ + " " + arguments[0];
  A48_CHECK(at < arguments.size(), ErrorKind::config, path, ": a command is missing; one of ", joined(names),
            "\n`", path, " --help` explains them");
  const std::string& word = arguments[at];
  if (word.starts_with("-")) return;
  const bool known = std::ranges::find(names, word) != names.end();
  A48_CHECK(known, ErrorKind::config, path, " ", word, ": no such command", did_you_mean(word, names),
            "; allowed: ", joined(names));
  check_command(*parent.get_subcommand(word), arguments, at + 1);
}

const CLI::App& CommandTree::selected_app() const {
  const CLI::App* app = &app_;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return *app;
}

std::string CommandTree::command_path() const {
  std::string path = program_;
  for (const CLI::App* app = &app_; !app->get_subcommands().empty();) {
    app = app->get_subcommands().back();
    path += " " + app->get_name();
  }
  return path;
}

std::string CommandTree::help_hint() const { return "`" + command_path() + " --help` shows what is allowed"; }

/// A word that nothing takes is named before what it may have been meant for is called missing.
void CommandTree::report_unexpected() const {
  std::vector<std::string> flags;
  for (const CLI::Option* option : selected_app().get_options())
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  const std::vector<std::string> unexpected = app_.remaining(true);
  if (unexpected.empty()) return;
  const auto flag =
      std::ranges::find_if(unexpected, [](const std::string& word) { return word.starts_with("-"); });
  A48_CHECK(flag != unexpected.end(), ErrorKind::config, command_path(), ": unexpected argument ",
            unexpected.front(), "\n", help_hint());
  const std::string name = flag->substr(0, flag->find('='));
  fail(ErrorKind::config, command_path(), ": unknown flag ", name, did_you_mean(name, flags), "\n",
       help_hint());
}

}  // namespace a48::tools
