// The trainer, seen from the tools: no torch here. The loop: trainer.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/exit_code.h"
#include "core/config/types.h"

namespace a48::train {

struct TrainRequest {
  std::string config_path;               // empty with resume
  std::vector<std::string> overrides;
  std::string resume;                    // run folder or RUN/checkpoints/step-N; empty = train config_path
  bool fresh = false;                    // rename an existing run aside and start at step 0
  bool dry_run = false;                  // one full step at the largest shape, then stop; the run folder stays unchanged
};

/// Trains until the last step, a signal, or an Error. Returns done or stopped.
ExitCode run(const TrainRequest& request);

}  // namespace a48::train
