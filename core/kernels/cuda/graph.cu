// Streams, recorded graphs and events: thin over the runtime.
#include "core/kernels/cuda/graph.h"

#include "core/kernels/cuda/launch.cuh"

namespace a48::kernels::cuda {
namespace {

cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace

OwnedStream::OwnedStream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), ErrorKind::no_resources, "a stream");
  stream_ = stream;
}

OwnedStream::~OwnedStream() {
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(native(stream_)));
}

Graph::Graph(Stream stream, FunctionRef<void()> work) {
  check_cuda(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal), ErrorKind::internal,
             "recording a graph");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(native(stream), &graph));
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    throw;
  }
  check_cuda(cudaStreamEndCapture(native(stream), &graph), ErrorKind::internal, "recording a graph");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check_cuda(error, ErrorKind::internal, "preparing a graph");
  recorded_ = executable;
}

Graph::~Graph() {
  if (recorded_ != nullptr) static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(recorded_)));
}

void Graph::start(Stream stream) const {
  check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(recorded_), native(stream)), ErrorKind::internal,
             "starting a graph");
}

double seconds_on_device(Stream stream, FunctionRef<void()> work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  float milliseconds = 0.0f;
  const auto check = [](cudaError_t error) { check_cuda(error, ErrorKind::internal, "timing"); };
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  check(cudaEventRecord(begin, native(stream)));
  work();
  check(cudaEventRecord(end, native(stream)));
  check(cudaEventSynchronize(end));
  check(cudaEventElapsedTime(&milliseconds, begin, end));
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace a48::kernels::cuda
