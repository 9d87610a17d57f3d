// The only starter of compute threads. A program has one pool: our own, or the backend that core/ops hands in
// where LibTorch is linked (two pools on two cores disturb each other). Results never depend on the number of
// threads: callers split rows, outputs, heads or chunks, never a lane sum (numerics E5).
#pragma once

#include <cstdint>

#include "core/base/function_ref.h"

namespace a48 {

/// Threads that parallel_for uses, >= 1. Default: physical cores.
int thread_count();
/// 0 = physical cores. Call before any work.
void set_thread_count(int threads);
int physical_cores();

/// Calls body(begin, end) on disjoint ranges that cover [0, n); each range holds at least `grain` items
/// except the last. An exception of a body is rethrown to the caller after all ranges ended; the pool stays
/// usable. A nested call runs serially.
void parallel_for(std::int64_t n, std::int64_t grain, FunctionRef<void(std::int64_t, std::int64_t)> body);

/// A foreign pool. `run` executes task(0) … task(tasks-1), each once, and returns when all are done.
struct ParallelBackend {
  void (*set_threads)(int threads) = nullptr;
  void (*run)(int tasks, FunctionRef<void(int)> task) = nullptr;
};
void set_parallel_backend(const ParallelBackend& backend);

}  // namespace a48
