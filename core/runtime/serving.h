// What every decoder of packed models takes from the model and its options, and says about tokens and
// activations in the same words, whichever device computes. Users: decoder.h, device_decoder.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/runtime/kv_cache.h"
#include "core/runtime/linear.h"
#include "core/runtime/model.h"
#include "core/runtime/packed_file.h"

namespace a48::runtime {

/// Shares of work that a benchmark sets by force, in place of what the model's own activations give: open
/// gates, non-zero inputs of down and of o. 1 = nothing is skipped. The text that comes out has no meaning.
struct ForcedDensity {
  double up = 1.0, down = 1.0, out = 1.0;
};

struct DecoderOptions {
  std::optional<quant::Slots> slots;  // other input quantizers than the file names
  std::string mode;                   // their name, for messages
  std::optional<CacheFormat> cache;   // other than the file's
  // Of the CPU's decoder; a GPU reads every weight.
  bool skip_zeros = true;  // false: one token is multiplied as several are, with nothing left out
  std::optional<ForcedDensity> forced;
};

struct ServingPlan {
  ModelInfo info;
  InputSlot qkv, o, gate_up, down;
  CacheShape cache_shape;
  CacheFormat cache;
};
/// Error(config) for slots that a packed model cannot have.
ServingPlan serving_of(const PackedModel& model, const DecoderOptions& options);

/// Rows that go through the blocks at a time: enough to pay for unpacking the weights, few enough to bound
/// the buffers.
inline constexpr std::int64_t kBlockRows = 512;

/// Error(bad_input) for an id outside the vocabulary, or a sequence that outgrows the context; `lengths` of
/// the sequences.
void check_tokens(const ModelInfo& info, std::span<const TokenInput> tokens,
                  std::span<const std::int64_t> lengths);

/// Where a row stands, for messages.
struct RowPlace {
  std::int64_t sequence, position;
};
[[noreturn]] void fail_non_finite(const ModelInfo& info, const std::string& where, const RowPlace& row);
/// "model.layers.3.self_attn.q_proj input"
std::string linear_input(std::int64_t layer, const char* linear);

bool all_finite(const float* x, std::int64_t n);

}  // namespace a48::runtime
