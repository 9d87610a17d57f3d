// How long a run still takes: steps of each stage, evaluations and saves, each at what it costs on this
// machine. Before the first step the costs are measured on one micro-batch per stage; then what really
// happens replaces them. Which events are still to come follows from the configuration (stages.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/types.h"
#include "modules/causal_lm.h"
#include "training/optimizer.h"

namespace a48::train {

/// Seconds; not yet known = nothing.
struct Costs {
  std::vector<double> step;  // per stage
  std::optional<double> evaluation, save;
};

/// A forward and a backward of one micro-batch in every stage from `stage` on, the second of two counted, and
/// an evaluating forward of it: times those of a step and of an evaluation. Weights and moments stay as they
/// are, gradients are dropped. `evaluation_tokens`: scored by one evaluation, 0 = there is none. The update
/// is not in it, nor are samples. Ends early, with what it has, when a stop was requested.
Costs measure_costs(const config::RunConfig& config, nn::BitNetForCausalLM& model, AdamW& optimizer,
                    std::size_t stage, std::int64_t evaluation_tokens);

class Forecast {
 public:
  Forecast(const config::RunConfig& config, bool evaluates) : config_(config), evaluates_(evaluates) {}

  void start(Costs costs) { costs_ = std::move(costs); }
  void add_step(std::size_t stage, double seconds);
  void add_evaluation(double seconds) { costs_.evaluation = seconds; }
  void add_save(double seconds) { costs_.save = seconds; }

  /// From `steps_done` to the end of the run, evaluations and saves included as far as their cost is known.
  double seconds_left(std::int64_t steps_done) const;
  /// "about 0:05:12 for 900 steps and 11 evaluations".
  std::string describe(std::int64_t steps_done) const;

 private:
  const config::RunConfig& config_;
  bool evaluates_;
  Costs costs_;
  double scale_ = 1.0;  // steps of late against costs_.step
  bool measured_ = false;
};

}  // namespace a48::train
