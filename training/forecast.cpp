// One measurement before the first step, then a running mean of the steps made.
#include "training/forecast.h"

#include <ATen/ops/arange.h>

#include <chrono>

#include "core/base/check.h"
#include "core/ops/gpu.h"
#include "training/cost.h"
#include "training/signals.h"
#include "training/stages.h"

namespace a48::train {
namespace {

constexpr double kWeightOfOne = 0.05;  // of one step in the running mean: about the last twenty count

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The time when all that was started is done.
double settled() {
  ops::finish_gpu();
  return now();
}

/// ids [micro batch, T+1]: which tokens they are hardly changes the time.
at::Tensor any_ids(const config::RunConfig& config, std::size_t stage) {
  const std::int64_t rows = config.run.micro_batch_size,
                     columns = config.stages[stage].data.sequence_length + 1;
  return at::arange(rows * columns, at::kLong).remainder(config.model.vocab_size).view({rows, columns});
}

double seconds_of_pass(nn::BitNetForCausalLM& model, const at::Tensor& ids) {
  const double begin = settled();
  model->loss_sum(ids).backward();
  return settled() - begin;
}

double seconds_of_forward(nn::BitNetForCausalLM& model, const at::Tensor& ids) {
  const at::NoGradGuard no_grad;  // takes the path of evaluation
  const double begin = settled();
  model->loss_sum(ids);
  return settled() - begin;
}

}  // namespace

Costs measure_costs(const config::RunConfig& config, nn::BitNetForCausalLM& model, AdamW& optimizer,
                    std::size_t stage, std::int64_t evaluation_tokens) {
  Costs costs;
  costs.step.assign(config.stages.size(), 0.0);
  const auto micro_batches =
      static_cast<double>(config.run.global_batch_size) / static_cast<double>(config.run.micro_batch_size);
  for (; stage < config.stages.size() && !stop_requested(); ++stage) {
    model->set_slots(slots_of_stage(config, stage));
    const at::Tensor ids = any_ids(config, stage);
    optimizer.clear_gradients();
    seconds_of_pass(model, ids);  // the first one meets cold caches and pages
    if (stop_requested()) break;
    costs.step[stage] = micro_batches * seconds_of_pass(model, ids);
    if (costs.evaluation || evaluation_tokens == 0) continue;
    const auto tokens = static_cast<double>(ids.size(0) * (ids.size(1) - 1));
    costs.evaluation = seconds_of_forward(model, ids) * static_cast<double>(evaluation_tokens) / tokens;
  }
  optimizer.clear_gradients();
  return costs;
}

void Forecast::add_step(std::size_t stage, double seconds) {
  if (costs_.step.empty()) costs_.step.assign(config_.stages.size(), 0.0);
  double& cost = costs_.step[stage];
  if (cost <= 0.0) cost = seconds;
  const double ratio = seconds / cost;
  scale_ = measured_ ? scale_ + kWeightOfOne * (ratio - scale_) : ratio;
  measured_ = true;
}

double Forecast::seconds_left(std::int64_t steps_done) const {
  double seconds = 0.0, last = 0.0;
  std::int64_t begin = steps_done;
  for (std::size_t stage = 0; stage < config_.stages.size(); ++stage) {
    const std::int64_t end = config::stage_end(config_, stage);
    if (stage < costs_.step.size() && costs_.step[stage] > 0.0) last = costs_.step[stage];
    if (end <= begin) continue;
    seconds += scale_ * last * static_cast<double>(end - begin);
    begin = end;
  }
  if (evaluates_)
    seconds += costs_.evaluation.value_or(0.0) * static_cast<double>(evaluations_after(config_, steps_done));
  return seconds + costs_.save.value_or(0.0) * static_cast<double>(saves_after(config_, steps_done));
}

std::string Forecast::describe(std::int64_t steps_done) const {
  const std::int64_t evaluations = evaluates_ ? evaluations_after(config_, steps_done) : 0;
  return concat("about ", clock_time(seconds_left(steps_done)), " for ", config_.run.max_steps - steps_done,
                " steps", evaluations > 0 ? concat(" and ", evaluations, " evaluations") : "",
                costs_.save ? "" : ", saves not counted");
}

}  // namespace a48::train
