#include "training/stages.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/check.h"

namespace a48::train {
namespace {

double half_cosine(double x) { return 0.5 * (1.0 + std::cos(std::numbers::pi * x)); }

double tail(config::DecayShape shape, double x) {
  switch (shape) {
    case config::DecayShape::linear:
      return 1.0 - x;
    case config::DecayShape::cosine:
      return half_cosine(x);
    case config::DecayShape::sqrt:
      return 1.0 - std::sqrt(x);
  }
  A48_ASSERT(false, "decay shape ", static_cast<int>(shape));
}

/// Height of the schedule without warm-up.
double plateau(const config::Optim& optim, std::int64_t step, std::int64_t max_steps) {
  const double s = static_cast<double>(step), total = static_cast<double>(max_steps);
  const double peak = optim.learning_rate, floor = optim.min_lr;
  switch (optim.schedule) {
    case config::Schedule::constant:
      return peak;
    case config::Schedule::linear:
      return floor + (peak - floor) * (1.0 - s / total);
    case config::Schedule::bitnet: {
      const double line = 2 * step < max_steps ? peak : optim.second_learning_rate;
      return floor + (line - floor) * (1.0 - s / total);
    }
    case config::Schedule::cosine: {
      const double warm = static_cast<double>(optim.warmup_steps);
      const double x = std::clamp((s - warm) / std::max(total - warm, 1.0), 0.0, 1.0);
      return floor + (peak - floor) * half_cosine(x);
    }
    case config::Schedule::wsd: {
      const double start = optim.decay_start * total;
      if (s < start) return peak;
      return floor + (peak - floor) * tail(optim.decay_shape, (s - start) / (total - start));
    }
  }
  A48_ASSERT(false, "schedule ", static_cast<int>(optim.schedule));
}

bool same_stream(const config::Data& a, const config::Data& b) {
  return a.kind == b.kind && a.path == b.path && a.train_glob == b.train_glob &&
         a.sequence_length == b.sequence_length && a.windows == b.windows;
}

/// Steps in (steps_done, max_steps] at which `planned` holds: the multiples of the interval, and those of the
/// ends of the stages that are none.
std::int64_t planned_after(const config::RunConfig& config, std::int64_t steps_done, std::int64_t interval,
                           bool (*planned)(const config::RunConfig&, std::int64_t)) {
  const std::int64_t last = config.run.max_steps;
  std::int64_t count = interval > 0 ? last / interval - std::min(steps_done, last) / interval : 0;
  for (std::size_t stage = 0; stage < config.stages.size(); ++stage) {
    const std::int64_t end = config::stage_end(config, stage);
    const bool counted = interval > 0 && end % interval == 0;
    if (end > steps_done && !counted && planned(config, end)) ++count;
  }
  return count;
}

}  // namespace

double learning_rate(const config::Optim& optim, std::int64_t step, std::int64_t max_steps) {
  A48_ASSERT(step >= 0 && step < max_steps, step, " of ", max_steps);
  const double warm =
      optim.warmup_steps > 0 ? static_cast<double>(step + 1) / static_cast<double>(optim.warmup_steps) : 1.0;
  return std::min(1.0, warm) * plateau(optim, step, max_steps);
}

double weight_decay(const config::Optim& optim, std::int64_t step, std::int64_t max_steps) {
  const bool on = static_cast<double>(step) < optim.weight_decay_until * static_cast<double>(max_steps);
  return on ? optim.weight_decay : 0.0;
}

StepPlan plan_step(const config::RunConfig& config, std::int64_t step) {
  StepPlan plan;
  plan.stage = config::stage_at(config, step);
  const config::Stage& stage = config.stages[plan.stage];
  plan.mode = stage.mode;
  plan.slots = slots_of_stage(config, plan.stage);
  plan.learning_rate = learning_rate(stage.optim, step, config.run.max_steps);
  plan.weight_decay = weight_decay(stage.optim, step, config.run.max_steps);
  return plan;
}

std::size_t stage_reached(const config::RunConfig& config, std::int64_t steps_done) {
  const std::int64_t last = std::min(steps_done, config.run.max_steps) - 1;
  return config::stage_at(config, std::max<std::int64_t>(last, 0));
}

quant::Slots slots_of_stage(const config::RunConfig& config, std::size_t stage) {
  return config::slots_of(config.stages[stage].mode, config.stages[stage].quant);
}

quant::Slots slots_in_mode(const config::RunConfig& config, std::size_t stage, quant::Mode mode) {
  return mode == config.stages[stage].mode ? slots_of_stage(config, stage) : quant::row_of(mode).slots;
}

bool before_switch(const config::RunConfig& config, std::int64_t steps_done) {
  for (std::size_t stage = 0; stage + 1 < config.stages.size(); ++stage) {
    if (config::stage_end(config, stage) == steps_done) return true;
  }
  return false;
}

bool evaluation_planned(const config::RunConfig& config, std::int64_t steps_done) {
  if (steps_done == config.run.max_steps) return true;
  const std::int64_t interval = config.eval.interval;
  return steps_done > 0 && interval > 0 && (steps_done % interval == 0 || before_switch(config, steps_done));
}

bool save_planned(const config::RunConfig& config, std::int64_t steps_done) {
  const std::int64_t interval = config.run.save_interval;
  const bool regular = steps_done > 0 && interval > 0 && steps_done % interval == 0;
  return regular || steps_done == config.run.max_steps || before_switch(config, steps_done);
}

std::vector<quant::Mode> closing_modes(const config::RunConfig& config) {
  const std::size_t last = config.stages.size() - 1;
  std::vector<quant::Mode> modes;
  if (!slots_of_stage(config, last).ternary_weights) return modes;
  for (const quant::Mode mode : {quant::Mode::a8, quant::Mode::a16})
    if (mode != config.stages[last].mode) modes.push_back(mode);
  return modes;
}

std::int64_t evaluations_after(const config::RunConfig& config, std::int64_t steps_done) {
  return planned_after(config, steps_done, config.eval.interval, evaluation_planned) +
         static_cast<std::int64_t>(closing_modes(config).size());
}

std::int64_t saves_after(const config::RunConfig& config, std::int64_t steps_done) {
  return planned_after(config, steps_done, config.run.save_interval, save_planned);
}

std::vector<std::uint64_t> streams_of(const config::RunConfig& config) {
  std::vector<std::uint64_t> streams{0};
  for (std::size_t stage = 1; stage < config.stages.size(); ++stage) {
    const bool same = same_stream(config.stages[stage - 1].data, config.stages[stage].data);
    streams.push_back(streams.back() + (same ? 0 : 1));
  }
  return streams;
}

}  // namespace a48::train
