// Initial weights: a pure function of (seed, parameter name, index), so that no order of construction changes
// them.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/types.h"

namespace a48::nn {

/// Fills every parameter of `module`; `prefix` makes the names those of formats.md 2.4 ("model." for a bare
/// BitNetModel). Gains 1; matrices, embedding and head N(0, std²), std = initializer_range, or 1/√inputs for
/// the ternary ones (scaled_init).
void initialise(torch::nn::Module& module, const std::string& prefix, const config::Model& model,
                std::uint64_t seed);

}  // namespace a48::nn
