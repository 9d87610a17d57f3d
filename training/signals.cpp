#include "training/signals.h"

#include <csignal>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace a48::train {
namespace {

constexpr int kSignalExit = 128;
constexpr int kTimeLimit = -1, kStepLimit = -2;

std::atomic<int> stop{0};
static_assert(std::atomic<int>::is_always_lock_free, "set inside a signal handler");

std::atomic<const char*> first_notice{nullptr};

/// Only what a signal handler may call.
void say_notice() {
  const char* text = first_notice.load();
  const int kept = errno;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
  errno = kept;
}

extern "C" void on_signal(int signal) {
  int none = 0;
  const bool first = stop.compare_exchange_strong(none, signal);
  if (!first && none > 0) _exit(kSignalExit + signal);
  if (!first) stop.store(signal);  // a limit of the run's own had asked before
  say_notice();
}

}  // namespace

struct SignalScope::Saved {
  struct sigaction terminate, interrupt;
};

SignalScope::SignalScope(const char* notice) : saved_(new Saved) {
  stop.store(0);
  first_notice.store(notice);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // a read or write of a running save goes on
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, &saved_->terminate);
  sigaction(SIGINT, &action, &saved_->interrupt);
}

SignalScope::~SignalScope() {
  sigaction(SIGTERM, &saved_->terminate, nullptr);
  sigaction(SIGINT, &saved_->interrupt, nullptr);
  delete saved_;
  stop.store(0);
}

int stop_signal() { return stop.load() > 0 ? stop.load() : 0; }
bool stop_requested() { return stop.load() != 0; }

const char* stop_reason() {
  switch (stop.load()) {
    case 0:
      return "";
    case kTimeLimit:
      return "run.max_minutes";
    case kStepLimit:
      return "the limit of steps";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGTERM";
  }
}

void request_stop(StopCause cause) {
  int none = 0;
  stop.compare_exchange_strong(none, cause == StopCause::time_limit ? kTimeLimit : kStepLimit);
}

}  // namespace a48::train
