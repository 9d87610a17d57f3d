// Stop flags: SIGTERM and SIGINT ask a loop to end where its state is whole; a second one ends the program at
// once with 128 + signal. Training, evaluation, sampling and
// dry runs poll stop_requested(); start-up does not, so a stop there shows before the first step.
#pragma once

namespace a48::train {

/// Handles SIGTERM and SIGINT while it lives; puts the earlier handlers back. `notice`, a literal, is written
/// to stderr at once when the first signal comes: the loop may need a while to reach its end.
class SignalScope {
 public:
  explicit SignalScope(const char* notice);
  ~SignalScope();
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  struct Saved;
  Saved* saved_;
};

/// The signal that asked for the stop, or 0.
int stop_signal();
bool stop_requested();
/// Limits that a run sets itself; they act as a SIGTERM.
enum class StopCause { time_limit, step_limit };
void request_stop(StopCause cause);
/// "SIGTERM", "SIGINT", "run.max_minutes", "the limit of steps".
const char* stop_reason();

}  // namespace a48::train
