// One thread pool per process: kernels on LibTorch's (libtorch.md's finding: two pools on two cores disturb
// each other).
#pragma once

namespace a48::ops {

/// Hands core/base/parallel a backend that runs on LibTorch's threads, and keeps freed blocks of activation
/// size with the allocator, so that a training step does not fault the same pages in again. Programs that
/// link LibTorch call it once, at start.
void use_torch_threads();

}  // namespace a48::ops
