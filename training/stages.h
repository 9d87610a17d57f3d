// Learning rate, weight decay, stage and quantizers as pure functions of (configuration, step): nothing here
// knows where a run started or stopped (training.md T2). Steps count from 0; S = run.max_steps. Where a stage
// ends: core/config stage_end.
#pragma once

#include <cstdint>
#include <vector>

#include "core/config/types.h"
#include "core/quant/scheme.h"

namespace a48::train {

/// lr of step s, 0 <= s < S. warm(s) = min(1, (s+1)/W); P peak, f = min_lr, W = warmup_steps:
///   constant  warm · P
///   linear    warm · (f + (P − f)·(1 − s/S))
///   bitnet    the same with P = learning_rate while 2s < S, then second_learning_rate (numerics.md 6)
///   cosine    warm · (f + (P − f)·½(1 + cos πx)), x = share of the steps after warm-up that is done
///   wsd       warm · P until s = decay_start·S, then a tail from P to f along x in [0, 1):
///             linear 1 − x, cosine ½(1 + cos πx), square root 1 − √x
double learning_rate(const config::Optim& optim, std::int64_t step, std::int64_t max_steps);

/// weight_decay while s < weight_decay_until · S, then 0.
double weight_decay(const config::Optim& optim, std::int64_t step, std::int64_t max_steps);

/// All that one step needs to know besides its batch.
struct StepPlan {
  std::size_t stage = 0;
  quant::Mode mode = quant::Mode::a8;
  quant::Slots slots;
  double learning_rate = 0.0;
  double weight_decay = 0.0;
};
StepPlan plan_step(const config::RunConfig& config, std::int64_t step);

/// Stage of the last step that a run of `steps_done` steps has made; 0 before the first.
std::size_t stage_reached(const config::RunConfig& config, std::int64_t steps_done);
/// Slots of a mode for evaluation: the stage's own, with its `quant` keys, when it is the stage's mode; else
/// the plain preset.
quant::Slots slots_in_mode(const config::RunConfig& config, std::size_t stage, quant::Mode mode);
quant::Slots slots_of_stage(const config::RunConfig& config, std::size_t stage);

/// True when a checkpoint at this step stands just before a stage switch.
bool before_switch(const config::RunConfig& config, std::int64_t steps_done);

/// Where the loop evaluates and saves by itself, steps done counted: every interval, before a switch, at the
/// end.
bool evaluation_planned(const config::RunConfig& config, std::int64_t steps_done);
bool save_planned(const config::RunConfig& config, std::int64_t steps_done);
/// Modes of the last evaluation of a run beside its own: what each quantizer costs (training.md V1).
std::vector<quant::Mode> closing_modes(const config::RunConfig& config);
/// How many evaluations (closing ones included) and saves are still to come after `steps_done`.
std::int64_t evaluations_after(const config::RunConfig& config, std::int64_t steps_done);
std::int64_t saves_after(const config::RunConfig& config, std::int64_t steps_done);

/// Per stage the number of its data stream: it grows by one where a stage reads another sequence length,
/// windows rule or shard list than the one before, and stays when only the quantizers change
/// (formats.md 6.4).
std::vector<std::uint64_t> streams_of(const config::RunConfig& config);

}  // namespace a48::train
