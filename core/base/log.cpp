#include "core/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

namespace a48::log {
namespace {

constexpr const char* kEraseLine = "\r\033[K";

struct Console {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("a48", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  bool on_terminal = isatty(STDERR_FILENO) == 1;
  bool progress_shown = false;

  Console() {
    logger->set_pattern("%^%v%$");
    logger->set_level(spdlog::level::info);
    logger->flush_on(spdlog::level::debug);
  }

  void erase_progress() {
    if (!progress_shown) return;
    std::fputs(kEraseLine, stderr);
    progress_shown = false;
  }

  void print(spdlog::level::level_enum level, const std::string& prefix, const std::string& message) {
    const std::lock_guard lock(mutex);
    if (!logger->should_log(level)) return;
    erase_progress();
    logger->log(level, "{}{}", prefix, message);
  }
};

// Never destroyed: other static objects may log while the program ends.
Console& console() {
  static Console* const instance = new Console;
  return *instance;
}

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
    case Level::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

// A line longer than the terminal would wrap and could not be rewritten.
std::string fit_to_terminal(const std::string& message) {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return message;
  std::string fitted;
  std::size_t columns = 0;
  for (const char c : message) {
    const bool starts_character = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (starts_character && ++columns >= size.ws_col) break;
    fitted += c;
  }
  return fitted;
}

}  // namespace

void set_level(Level level) { console().logger->set_level(spdlog_level(level)); }

void debug(const std::string& message) { console().print(spdlog::level::debug, "debug: ", message); }
void info(const std::string& message) { console().print(spdlog::level::info, "", message); }
void warning(const std::string& message) { console().print(spdlog::level::warn, "warning: ", message); }
void error(const std::string& message) { console().print(spdlog::level::err, "error: ", message); }

void progress(const std::string& message) {
  Console& out = console();
  if (!out.on_terminal) return info(message);
  const std::lock_guard lock(out.mutex);
  if (!out.logger->should_log(spdlog::level::info)) return;
  std::fprintf(stderr, "%s%s", kEraseLine, fit_to_terminal(message).c_str());
  std::fflush(stderr);
  out.progress_shown = true;
}

}  // namespace a48::log
