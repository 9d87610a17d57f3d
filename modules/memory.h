// Does a model fit? Asked before its weights are allocated.
#pragma once

#include <cstdint>
#include <string>

namespace a48::nn {

/// Memory that this process may still take: what the system calls available, or less under a control group's
/// limit.
std::uint64_t free_memory_bytes();

/// "3.20 GB", "41.5 MB", "0.8 kB": powers of 1000.
std::string byte_size(double bytes);

/// Error(no_resources) with the GB needed and free when `parameters` fp32 weights do not fit on the device.
void check_memory(std::int64_t parameters, torch::Device device = torch::kCPU);

}  // namespace a48::nn
