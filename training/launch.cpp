#include "training/launch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/config/load.h"
#include "training/stages.h"

namespace a48::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kLock = ".lock";

/// Does `path` still name the open file?
bool is_file(int descriptor, const Path& path) {
  struct stat opened = {}, named = {};
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// RUN/checkpoints/step-N -> RUN.
Path run_of(const Path& checkpoint) { return fs::absolute(checkpoint).parent_path().parent_path(); }

Path without_trailing_slash(const Path& path) { return path.filename().empty() ? path.parent_path() : path; }

/// A folder, or a place where one can be made.
void demand_folder(const Path& run, const std::string& config) {
  A48_CHECK(
      !run.empty(), ErrorKind::config, config,
      ": run.dir is not set; it names the folder for checkpoints and logs, for example run.dir=runs/first");
  for (Path path = run; !path.empty() && path != path.parent_path(); path = path.parent_path()) {
    std::error_code unreadable;
    const fs::file_status found = fs::status(path, unreadable);
    if (!fs::exists(found)) continue;
    A48_CHECK(fs::is_directory(found), ErrorKind::config, "run.dir: ", path.string(),
              " is a file; run.dir names the folder for checkpoints and logs, for example runs/first");
    return;
  }
}

Launch from_run(const TrainRequest& request) {
  Launch launch;
  const Path path = without_trailing_slash(request.resume);
  A48_CHECK(fs::is_directory(path), ErrorKind::bad_input, "--resume ", request.resume,
            ": there is no such run or checkpoint folder");
  launch.explicit_step = step_of_name(path.filename().string()).has_value();
  launch.run = launch.explicit_step ? run_of(path) : path;
  launch.lock = RunLock(launch.run);
  launch.resumed = find_checkpoint(path);
  launch.resumed->config.run.dir = launch.run.string();  // the folder may have been moved
  launch.config = config::load_text(config::resolved_text(launch.resumed->config),
                                    (launch.resumed->folder / "run.json").string(), request.overrides);
  A48_CHECK(launch.config.run.dir == launch.run.string(), ErrorKind::config,
            "run.dir=", launch.config.run.dir, " cannot be given with --resume ", request.resume,
            ": the run goes on in its own folder. Copy the run, or start another one with init.from");
  return launch;
}

Launch from_config(const TrainRequest& request) {
  Launch launch;
  launch.config = config::load_file(request.config_path, request.overrides);
  const Path run = without_trailing_slash(launch.config.run.dir);
  demand_folder(run, request.config_path);
  if (request.dry_run) return launch;
  launch.run = run;
  launch.replaces = request.fresh && fs::exists(launch.run);
  launch.lock = RunLock(launch.run);
  if (!launch.replaces) launch.resumed = newest_checkpoint(launch.run);
  if (launch.resumed)  // defaults < checkpoint < file < command line
    launch.config = config::load_file(request.config_path, request.overrides, &launch.resumed->config);
  return launch;
}

std::string list(const std::vector<config::Difference>& differences) {
  std::string text;
  for (const auto& d : differences)
    text += concat("\n  ", d.path, ": ", d.before, " in the run, ", d.after, " now");
  return text;
}

void demand_same(const Launch& launch) {
  std::vector<config::Difference> refused;
  std::copy_if(launch.changes.begin(), launch.changes.end(), std::back_inserter(refused),
               [](const config::Difference& d) { return d.must_match; });
  A48_CHECK(
      refused.empty(), ErrorKind::config, launch.run.string(), " holds step ", launch.resumed->step,
      " of a run with another configuration; these fields cannot change on the way:", list(refused),
      "\nUse the run's values, another run.dir, or --fresh, which keeps the old run under another name.");
}

/// A shorter horizon is told: schedules and stages bend to it. One that lies behind the run is refused.
void demand_horizon(const Launch& launch) {
  const std::int64_t before = launch.resumed->config.run.max_steps, now = launch.config.run.max_steps,
                     step = launch.resumed->step;
  A48_CHECK(now >= step, ErrorKind::config, "run.max_steps: ", now, ", but ", step,
            " steps are done; use at least ", step, ", or go on from an earlier checkpoint with --resume ",
            launch.run.string(), "/checkpoints/step-N");
  if (now < before)
    log::warning(
        concat("run.max_steps is shortened from ", before, " to ", now, ": ", now - step,
               " steps are left, and learning rate, weight decay and stages follow the shorter run"));
}

/// A new horizon moves the ends of the stages: steps already done then belong to another stage. With other
/// data that would tear the stream apart; with other quantizers only, the run changes its mode.
void demand_same_past(const Launch& launch) {
  const config::RunConfig &before = launch.resumed->config, &now = launch.config;
  const std::int64_t step = launch.resumed->step;
  const std::vector<std::uint64_t> streams = streams_of(now);
  for (std::size_t stage = 0; stage + 1 < now.stages.size(); ++stage) {
    const std::int64_t end = config::stage_end(before, stage), moved = config::stage_end(now, stage);
    if (std::min(end, step) == std::min(moved, step)) continue;
    const std::string what = concat("run.max_steps: ", before.run.max_steps, " in the run, ",
                                    now.run.max_steps, " now, moves the end of stage ", stage + 1,
                                    " from step ", end, " to ", moved, ", and ", step, " steps are done");
    A48_CHECK(streams[stage] == streams[stage + 1], ErrorKind::config, what,
              "; the stages read different data, so the run cannot go on. Use the run's value, or another "
              "run.dir with init.from");
    log::warning(concat(what, ": the next step is one of stage ",
                        plan_step(now, std::min(step, now.run.max_steps - 1)).stage + 1));
  }
}

/// Of the step that comes next; of the last one when a run is finished.
double next_learning_rate(const config::RunConfig& config, std::int64_t step) {
  return plan_step(config, std::min(step, config.run.max_steps - 1)).learning_rate;
}

void demand_no_rise(const Launch& launch, bool allowed) {
  const std::int64_t step = launch.resumed->step;
  const double before = next_learning_rate(launch.resumed->config, step);
  const double after = next_learning_rate(launch.config, step);
  if (before == after || launch.finished()) return;
  log::info(concat("learning rate at step ", step, ": ", before, " before, ", after, " now"));
  A48_CHECK(after <= before || allowed, ErrorKind::config,
            "the new configuration raises the learning rate at step ", step, " from ", before, " to ", after,
            "; add --raise-lr if that is meant");
}

}  // namespace

RunLock::RunLock(const Path& run) : run_(run) {
  for (Path path = run; !path.empty() && !fs::exists(path); path = path.parent_path()) first_made_ = path;
  try {
    make_folders(run);
    acquire();
  } catch (...) {
    release();
    throw;
  }
}

void RunLock::acquire() {
  const Path file = run_ / kLock;
  while (true) {
    descriptor_ = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    const bool resources = errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE;
    A48_CHECK(descriptor_ >= 0, resources ? ErrorKind::no_resources : ErrorKind::bad_input,
              "run.dir: ", run_.string(), " cannot be written (", file.string(), ": ", std::strerror(errno),
              "); use a folder of your own");
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      char holder[32] = {};
      const ssize_t length = pread(descriptor_, holder, sizeof holder - 1, 0);
      close(std::exchange(descriptor_, -1));
      fail(ErrorKind::config, run_.string(), " is in use by ",
           length > 0 ? concat("process ", holder) : "another process",
           "; wait for it, stop it, or use another run.dir");
    }
    if (is_file(descriptor_, file)) break;
    close(std::exchange(descriptor_, -1));  // its last holder removed it between open and flock
  }
  const std::string own = std::to_string(getpid());
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, own.data(), own.size(), 0) < 0) {
    log::debug(
        concat(file.string(), ": ", std::strerror(errno)));  // the number only serves the message above
  }
}

RunLock& RunLock::operator=(RunLock&& other) noexcept {
  RunLock taken(std::move(other));
  swap(taken);
  return *this;
}

void RunLock::swap(RunLock& other) noexcept {
  std::swap(run_, other.run_);
  std::swap(first_made_, other.first_made_);
  std::swap(descriptor_, other.descriptor_);
}

void RunLock::release() noexcept {
  std::error_code ignored;
  if (descriptor_ >= 0) {
    if (is_file(descriptor_, run_ / kLock)) fs::remove(run_ / kLock, ignored);
    close(std::exchange(descriptor_, -1));
  }
  if (first_made_.empty()) return;
  for (Path path = run_; fs::remove(path, ignored) && path != first_made_;) path = path.parent_path();
}

void Launch::take_folder() {
  if (!replaces) return;
  Path aside;
  for (int n = 1; aside.empty() || fs::exists(aside); ++n) aside = concat(run.string(), ".old-", n);
  rename_synced(run, aside);
  lock.renamed(aside);
  log::info(concat("the old run is now ", aside.string()));
  lock = RunLock(run);
}

void demand_backward_dtype(const config::RunConfig& config, bool cpu_has_bf16) {
  A48_CHECK(
      config.run.backward_dtype != config::Dtype::bf16 || cpu_has_bf16, ErrorKind::no_resources,
      "run.backward_dtype: bf16, but this CPU has neither avx512_bf16 nor amx_bf16: its products would be "
      "emulated, many times slower than fp32. Use fp32 or auto");
}

Launch prepare_launch(const TrainRequest& request) {
  const bool resume = !request.resume.empty();
  A48_CHECK(resume != !request.config_path.empty(), ErrorKind::config,
            "train takes either a configuration file or --resume RUN");
  A48_CHECK(!(resume && request.fresh), ErrorKind::config,
            "--fresh starts anew, --resume goes on: only one of them");
  A48_CHECK(!(resume && request.dry_run), ErrorKind::config,
            "--dry-run takes a configuration file, not --resume");
  Launch launch = resume ? from_run(request) : from_config(request);
  if (!launch.resumed) return launch;
  launch.changes = config::differences(launch.resumed->config, launch.config);
  demand_same(launch);
  if (!launch.changes.empty()) log::info("changed since the checkpoint:" + list(launch.changes));
  demand_horizon(launch);
  demand_same_past(launch);
  demand_no_rise(launch, request.raise_lr);
  return launch;
}

}  // namespace a48::train
