// A stream of our own, work on it that is recorded once and started as one thing, and its time: without a
// CUDA header. Implemented in graph.cu, in builds without nvcc in absent.cpp.
#pragma once

#include <utility>

#include "core/base/function_ref.h"
#include "core/kernels/cuda/table_cuda.h"

namespace a48::kernels::cuda {

class OwnedStream {
 public:
  OwnedStream();
  OwnedStream(OwnedStream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  OwnedStream& operator=(OwnedStream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~OwnedStream();
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

/// Kernels and copies with all their arguments as they were when recorded: what changes from one start to the
/// next has to be read from memory.
class Graph {
 public:
  Graph() = default;
  /// Takes down what `work` puts on the stream, in place of doing it. `work` must not allocate or wait.
  Graph(Stream stream, FunctionRef<void()> work);
  Graph(Graph&& other) noexcept : recorded_(std::exchange(other.recorded_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(recorded_, other.recorded_);
    return *this;
  }
  ~Graph();

  bool is_recorded() const { return recorded_ != nullptr; }
  void start(Stream stream) const;

 private:
  void* recorded_ = nullptr;  // a cudaGraphExec_t
};

/// Seconds between two events around the work that `work` puts on the stream; waits for it.
double seconds_on_device(Stream stream, FunctionRef<void()> work);

}  // namespace a48::kernels::cuda
