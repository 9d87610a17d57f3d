// Console messages by level (the only user of spdlog). JSONL events are written through files.h LineAppender.
// Console output goes to stderr, so that a command's results on stdout stay clean for scripts.
#pragma once

#include <string>

namespace a48::log {

enum class Level { debug, info, warning, error, off };
void set_level(Level level);

void debug(const std::string& message);
void info(const std::string& message);
void warning(const std::string& message);
void error(const std::string& message);

/// One line that is rewritten in place on a terminal, and printed as an ordinary line elsewhere.
void progress(const std::string& message);

}  // namespace a48::log
