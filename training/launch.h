// What a request to train means: which configuration, which run folder, and which checkpoint it goes on from
// (formats.md 8, training.md C3, C4, K2, T4). Checkpoints: checkpoint.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/config/print.h"
#include "core/config/types.h"
#include "training/checkpoint.h"
#include "training/trainer.h"

namespace a48::train {

/// Holds RUN/.lock while it lives, so that two processes never train in one folder; freed by the system when
/// a process dies. In the end the file goes, and with it the folders that were made for it and stayed empty:
/// a start that failed leaves nothing behind.
class RunLock {
 public:
  RunLock() = default;
  /// Makes the folder where it is missing. Error(config) names the process that holds it.
  explicit RunLock(const Path& run);
  RunLock(RunLock&& other) noexcept { swap(other); }
  RunLock& operator=(RunLock&& other) noexcept;
  ~RunLock() { release(); }
  /// The locked folder is called `run` from now on.
  void renamed(const Path& run) { run_ = run; }

 private:
  void swap(RunLock& other) noexcept;
  void acquire();
  void release() noexcept;

  Path run_, first_made_;  // of the folders made on the way to run_, the uppermost; empty = none
  int descriptor_ = -1;
};

struct Launch {
  config::RunConfig config;
  Path run;
  RunLock lock;
  std::optional<Checkpoint> resumed;        // nothing = step 0
  std::vector<config::Difference> changes;  // against the checkpoint's configuration; all of them allowed
  bool explicit_step = false;               // a checkpoint was named: later ones are of another history
  bool replaces = false;                    // --fresh: the run that is there now makes room
  /// Called once nothing stands against the start any more: renames the run that is replaced aside.
  void take_folder();
  bool finished() const { return resumed && resumed->step >= config.run.max_steps; }
};

/// Reads, checks and locks; changes nothing else, and nothing at all for a dry run.
Launch prepare_launch(const TrainRequest& request);

/// Error(no_resources) when run.backward_dtype=bf16 would be emulated.
void demand_backward_dtype(const config::RunConfig& config, bool cpu_has_bf16);

}  // namespace a48::train
