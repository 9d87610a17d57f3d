// Random weights of a given shape as a packed model: what `a48 bench` measures where no trained model of a
// size exists. About 31 % of the ternary weights are zero, as in a Gaussian matrix. The text that comes out
// has no meaning, and its activations are not as sparse as a trained model's.
#pragma once

#include <cstdint>

#include "core/base/files.h"
#include "core/runtime/pack_model.h"

namespace a48::runtime {

/// Matrices near N(0, 1/inputs), gains 1; the same for the same seed and name on every machine.
WeightSource synthetic_weights(const config::Model& model, std::uint64_t seed);

}  // namespace a48::runtime
