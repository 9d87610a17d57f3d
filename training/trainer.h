// The trainer, seen from the tools: no torch here. The loop: trainer.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/exit_code.h"
#include "core/base/json.h"
#include "core/config/types.h"

namespace a48::train {

struct TrainRequest {
  std::string config_path;  // empty with resume
  std::vector<std::string> overrides;
  std::string resume;           // run folder or RUN/checkpoints/step-N; empty = train config_path
  bool fresh = false;           // rename an existing run aside and start at step 0
  bool raise_lr = false;        // a resume may raise the learning rate by a changed schedule or horizon
  bool dry_run = false;         // one full step per stage, then stop; the run folder stays unchanged
  std::int64_t stop_after = 0;  // > 0: ends as on a SIGTERM after this many steps
};

/// Trains until the last step, a signal, or an Error. Returns done or stopped.
ExitCode run(const TrainRequest& request);

/// Which tokens step `step` (counted from 1) of a run reads: {"step", "stage", "stream", "consumed", "spans":
/// [{"file", "begin", "count"}]}.
Json data_read_at(const std::string& run, std::int64_t step);

}  // namespace a48::train
