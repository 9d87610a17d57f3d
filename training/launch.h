// What a request to train means: which configuration, which run folder, and which checkpoint it goes on from
// (formats.md 8, training.md C3, C4, K2, T4). Checkpoints: checkpoint.h.
#pragma once

#include <optional>
#include <vector>

#include "core/base/files.h"
#include "core/config/print.h"
#include "core/config/types.h"
#include "training/checkpoint.h"
#include "training/trainer.h"

namespace a48::train {

/// Holds RUN/.lock while it lives, so that two processes never train in one folder; freed by the system when
/// a process dies.
class RunLock {
 public:
  RunLock() = default;
  /// Error(config) names the process that holds it.
  explicit RunLock(const Path& run);
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&& other) noexcept;
  ~RunLock();

 private:
  int descriptor_ = -1;
};

struct Launch {
  config::RunConfig config;
  Path run;
  RunLock lock;
  std::optional<Checkpoint> resumed;        // nothing = step 0
  std::vector<config::Difference> changes;  // against the checkpoint's configuration; all of them allowed
  bool explicit_step = false;               // a checkpoint was named: later ones are of another history
  bool finished() const { return resumed && resumed->step >= config.run.max_steps; }
};

/// Reads, checks and locks; with `fresh` renames an old run aside. Changes nothing else, and nothing at all
/// for a dry run.
Launch prepare_launch(const TrainRequest& request);

}  // namespace a48::train
