// The formula of the sparsity table (numerics.md 8).
#include "core/runtime/sparsity.h"

namespace a48::runtime {

Sparsity sparsity_of(const SparsityCounts& counts, const config::Model& model) {
  Sparsity result;
  result.measured = counts.qkv.total + counts.out.total + counts.gate.total + counts.down.total > 0;
  if (!result.measured) return result;
  result.qkv = counts.qkv.share();
  result.out = counts.out.share();
  result.gate = counts.gate.share();
  result.down = counts.down.share();
  result.gate_output = counts.gate_output.share();
  // A weight of up is idle when its input code is zero or when the gate closes its output.
  result.up = 1.0 - (1.0 - result.gate) * (1.0 - result.gate_output);
  complete_sparsity(result, model);
  return result;
}

void complete_sparsity(Sparsity& shares, const config::Model& model) {
  const auto hidden = static_cast<double>(model.hidden_size);
  const auto intermediate = static_cast<double>(model.intermediate_size);
  const double kv_width = static_cast<double>(model.kv_heads() * model.head_dim());
  const double qkv_weights = hidden * (hidden + 2.0 * kv_width);
  const double out_weights = hidden * hidden;
  const double ffn_weights = hidden * intermediate;  // each of up, gate, down
  const double idle = qkv_weights * shares.qkv + out_weights * shares.out +
                      ffn_weights * (shares.up + shares.gate + shares.down);
  shares.overall = idle / (qkv_weights + out_weights + 3.0 * ffn_weights);
  shares.active_parameters =
      static_cast<double>(config::non_embedding_parameters(model)) * (1.0 - shares.overall);
}

Json sparsity_json(const Sparsity& sparsity) {
  constexpr double kPercent = 100.0;
  if (!sparsity.measured) return nullptr;
  Json columns = Json::object();
  columns["qkv"] = kPercent * sparsity.qkv;
  columns["out"] = kPercent * sparsity.out;
  columns["up"] = kPercent * sparsity.up;
  columns["gate"] = kPercent * sparsity.gate;
  columns["down"] = kPercent * sparsity.down;
  columns["overall"] = kPercent * sparsity.overall;
  columns["gate_output"] = kPercent * sparsity.gate_output;  // no column of the table; up follows from it
  columns["unit"] = "percent";
  return columns;
}

}  // namespace a48::runtime
