// Does a model fit? Asked before its weights are allocated.
#pragma once

#include <cstdint>

namespace a48::nn {

/// Memory that this process may still take: what the system calls available, or less under a control group's
/// limit.
std::uint64_t free_memory_bytes();

/// Error(no_resources) with the GB needed and free when `parameters` fp32 weights do not fit.
void check_memory(std::int64_t parameters);

}  // namespace a48::nn
