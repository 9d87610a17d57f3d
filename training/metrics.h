// The run's record: metrics.jsonl with one event a line (run, step, eval, sample, checkpoint, resume,
// rejected, signal, stage, end), and the console's line per interval (training.md 1.9). Doubles are written
// so that they read back bit-identical; what does not exist on this device is null in the file and "n/a" on
// the console. A resume appends; readers keep the last value per step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/files.h"
#include "core/base/json.h"
#include "training/guard.h"

namespace a48::train {

struct StepRecord {
  std::int64_t step = 0;  // steps done, this one included
  std::int64_t stage = 0;
  std::string mode;
  std::int64_t tokens = 0;  // of the run so far
  std::int64_t step_tokens = 0;
  double loss = 0.0, learning_rate = 0.0, weight_decay = 0.0, grad_norm = 0.0, param_norm = 0.0;
  double seconds = 0.0;       // of this step, loading included
  double data_seconds = 0.0;  // of which waiting for data
  std::int64_t rejected = 0;  // steps in the run so far
  std::int64_t memory_bytes = 0;
  std::optional<double> mfu, sol;  // shares of the device's peaks (devices.h), where they are known
  Scores scores;
  std::string state_hash;  // empty = not asked for
};

class Metrics {
 public:
  Metrics() = default;  // writes nothing
  explicit Metrics(const Path& run) : lines_(std::in_place, run / "metrics.jsonl") {}
  /// {"event": kind, …members of `body`}
  void write(const char* kind, const Json& body);
  void write(const StepRecord& step);

 private:
  std::optional<LineAppender> lines_;
};

/// Throughput between two console lines: only the seconds of steps count, evaluations and saves do not.
class Meter {
 public:
  explicit Meter(std::int64_t max_steps) : max_steps_(max_steps) {}
  void add(const StepRecord& step);
  bool empty() const { return steps_ == 0; }
  /// The line of the interval since the last one, then a new interval begins. `eta`: seconds to the run's
  /// end.
  std::string line(const StepRecord& last, double eta);

 private:
  std::int64_t max_steps_;
  std::int64_t steps_ = 0, tokens_ = 0;
  double seconds_ = 0.0, data_seconds_ = 0.0, mfu_seconds_ = 0.0, sol_seconds_ = 0.0;
};

}  // namespace a48::train
