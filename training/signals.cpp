#include "training/signals.h"

#include <csignal>
#include <unistd.h>

#include <atomic>

namespace a48::train {
namespace {

constexpr int kSignalExit = 128;
constexpr int kTimeLimit = -1, kStepLimit = -2;

std::atomic<int> stop{0};
static_assert(std::atomic<int>::is_always_lock_free, "set inside a signal handler");

extern "C" void on_signal(int signal) {
  int none = 0;
  if (stop.compare_exchange_strong(none, signal)) return;
  if (none < 0) {
    stop.store(signal);
    return;
  }
  _exit(kSignalExit + signal);
}

}  // namespace

struct SignalScope::Saved {
  struct sigaction terminate, interrupt;
};

SignalScope::SignalScope() : saved_(new Saved) {
  stop.store(0);
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
