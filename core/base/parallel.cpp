// The pool: workers claim tasks from one counter. An idle worker spins for at most kSpin, since the next call
// usually follows within microseconds, and then sleeps, since the machine may be shared.
#include "core/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"

namespace a48 {
namespace {

constexpr std::chrono::microseconds kSpin{50};
thread_local bool inside_task = false;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Waits while `value` holds `unwanted`: spins first, then sleeps. Returns what it found instead.
int await_change(const std::atomic<int>& value, int unwanted) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      const int found = value.load(std::memory_order_acquire);
      if (found != unwanted) return found;
      relax();
    }
    if (std::chrono::steady_clock::now() >= deadline) break;
  }
  value.wait(unwanted, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~Pool() {
    unclaimed_.store(kStop);
    unclaimed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // The caller takes part, so that a sleeping worker never delays work that the caller can do itself.
  void run(int tasks, FunctionRef<void(int)> task) {
    task_ = &task;
    tasks_ = tasks;
    unfinished_.store(tasks, std::memory_order_relaxed);
    unclaimed_.store(tasks, std::memory_order_release);
    unclaimed_.notify_all();
    while (claim_and_run()) {}
    for (int left = unfinished_.load(std::memory_order_acquire); left != 0;)
      left = await_change(unfinished_, left);
  }

 private:
  static constexpr int kStop = -1;

  void work() {
    inside_task = true;
    while (await_change(unclaimed_, 0) != kStop) claim_and_run();
  }

  // A claimed task keeps the call open, so task_ and tasks_ are those of the call that the claim belongs to.
  bool claim_and_run() {
    int left = unclaimed_.load(std::memory_order_acquire);
    do {
      if (left <= 0) return false;
    } while (!unclaimed_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel));
    (*task_)(tasks_ - left);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
    return true;
  }

  const FunctionRef<void(int)>* task_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> unclaimed_{0};
  std::atomic<int> unfinished_{0};
  std::vector<std::thread> workers_;
};

struct Settings {
  std::mutex mutex;  // held by the call that uses the pool
  std::atomic<int> threads{0};
  ParallelBackend backend;
  std::unique_ptr<Pool> pool;
};

Settings& settings() {
  static Settings instance;
  return instance;
}

/// CPUs that the control group grants, fractions rounded up; no limit: a large number.
int granted_cpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0.0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0.0) return std::numeric_limits<int>::max();
  return std::max(1, static_cast<int>(std::ceil(std::stod(quota) / period)));
}

/// Cores among the CPUs that this process may use: hyper-threads of one core count once.
int count_physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!(file >> siblings)) siblings = "cpu" + std::to_string(cpu);
    cores.insert(siblings);
  }
  return std::clamp(static_cast<int>(cores.size()), 1, granted_cpus());
}

void run_tasks(int tasks, FunctionRef<void(int)> task) {
  Settings& now = settings();
  const std::unique_lock lock(now.mutex, std::try_to_lock);
  if (!lock) {  // another thread of the program is using the pool
    for (int i = 0; i < tasks; ++i) task(i);
  } else if (now.backend.run != nullptr) {
    now.backend.run(tasks, task);
  } else {
    if (now.pool == nullptr) now.pool = std::make_unique<Pool>(thread_count());
    now.pool->run(tasks, task);
  }
}

class InsideTask {
 public:
  InsideTask() : before_(inside_task) { inside_task = true; }
  ~InsideTask() { inside_task = before_; }

 private:
  const bool before_;
};

}  // namespace

int physical_cores() {
  static const int cores = count_physical_cores();
  return cores;
}

int thread_count() {
  const int threads = settings().threads.load(std::memory_order_relaxed);
  return threads > 0 ? threads : physical_cores();
}

void set_thread_count(int threads) {
  A48_CHECK(threads >= 0, ErrorKind::config, "threads: ", threads,
            "; allowed are 0 (physical cores) and more");
  A48_ASSERT(!inside_task, "set_thread_count inside parallel_for");
  Settings& now = settings();
  const std::lock_guard lock(now.mutex);
  now.threads.store(threads, std::memory_order_relaxed);
  now.pool.reset();
  if (now.backend.set_threads != nullptr) now.backend.set_threads(thread_count());
}

void set_parallel_backend(const ParallelBackend& backend) {
  Settings& now = settings();
  const std::lock_guard lock(now.mutex);
  now.pool.reset();
  now.backend = backend;
  if (now.backend.set_threads != nullptr) now.backend.set_threads(thread_count());
}

void parallel_for(std::int64_t n, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body) {
  if (n <= 0) return;
  const std::int64_t threads = thread_count();
  const std::int64_t length = std::max({std::int64_t{1}, grain, (n + threads - 1) / threads});
  const int ranges = static_cast<int>((n + length - 1) / length);
  if (ranges == 1 || inside_task) return body(0, n);

  std::mutex error_mutex;
  std::exception_ptr error;
  int error_range = ranges;  // the first range's error wins, whatever the timing
  run_tasks(ranges, [&](int range) {
    const InsideTask mark;
    try {
      body(range * length, std::min(n, (range + 1) * length));
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (range < error_range) {
        error = std::current_exception();
        error_range = range;
      }
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace a48
