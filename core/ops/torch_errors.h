// LibTorch's exceptions become Errors at the edges where its tensors end: without their stack trace, and out
// of memory under its own kind.
#pragma once

#include <ATen/core/Tensor.h>

#include <new>
#include <string>

#include "core/base/check.h"

namespace a48::ops {

template <typename Body>
auto with_torch_errors(const Body& body) {
  constexpr const char* kMemory =
      "not enough memory; use a smaller model, or fewer tokens at a time (run.micro_batch_size)";
  try {
    return body();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory = text.find("DefaultCPUAllocator") != std::string::npos ||
                        text.find("CUDA out of memory") != std::string::npos;
    throw Error(memory ? ErrorKind::no_resources : ErrorKind::internal,
                memory ? concat(kMemory, " (", text, ")") : text);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::no_resources, kMemory);
  }
}

}  // namespace a48::ops
