// Loading the weights of the seed implementation (numerics.md 7): names renamed, `.scale` folded into its
// matrix.
#pragma once

#include <map>
#include <string>

#include "modules/causal_lm.h"

namespace a48::nn {

using StateDict = std::map<std::string, at::Tensor>;

/// A safetensors file, or a `.pt` file that holds a plain dict of tensors. An OrderedDict, which state_dict()
/// returns, cannot be read: the error gives the one-line conversion.
StateDict read_state(const std::string& path);

/// Seed names and ours both accepted. Every matrix must be there in the right shape; missing sub-norm gains
/// become 1 and a missing head keeps its values, with a warning each; a name that is neither's is
/// Error(bad_input).
void load_seed_state(BitNetModel& model, const StateDict& state);
void load_seed_state(BitNetForCausalLM& model, const StateDict& state);

}  // namespace a48::nn
