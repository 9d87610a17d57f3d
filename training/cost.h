// What a run will cost, told before it starts: parameters, memory, steps, tokens, disk; and whether memory
// and disk suffice.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/files.h"
#include "core/config/types.h"

namespace a48::train {

struct Cost {
  std::int64_t parameters = 0, embedding = 0;  // embedding, and head when untied, apart
  std::int64_t state_bytes = 0;                // fp32 weights, gradients, two moments
  std::int64_t activation_bytes = 0;           // estimate for one micro-batch, from the shapes
  std::int64_t checkpoint_bytes = 0;           // weights and moments on disk
  std::int64_t steps = 0, tokens = 0;          // of the whole run
  std::int64_t memory_bytes() const { return state_bytes + activation_bytes; }
};
/// `activation`: bytes of an activation, 2 in bf16.
Cost cost_of(const config::RunConfig& config, std::int64_t activation = 4);

/// Several lines for the console; `windows` of training data give the number of epochs.
std::string describe(const Cost& cost, const config::RunConfig& config, std::int64_t windows);

/// Error(no_resources) with estimate and what is free, when the run cannot fit; `run` empty: disk is not
/// looked at.
void demand_resources(const Cost& cost, const Path& run);

/// Error(no_resources) likewise, when weights, moments and activations cannot fit in `free` bytes of the GPU
/// `name`.
void demand_gpu_memory(const Cost& cost, const std::string& name, std::int64_t free);

/// Resident memory of this process.
std::int64_t used_memory_bytes();

/// "3.1M", "26.1G": powers of 1000.
std::string short_number(double value);
/// "1:02:03".
std::string clock_time(double seconds);

}  // namespace a48::train
