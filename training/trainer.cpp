// Hop 2 of the training walk: build, restore, then step, log, evaluate, save until the last step or a stop.
// One step: step.cpp.
#include "training/trainer.h"

#include <sched.h>

#include <chrono>

#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/config/validate.h"
#include "core/ops/gpu.h"
#include "core/ops/threads.h"
#include "core/ops/torch_errors.h"
#include "core/runtime/sparsity.h"
#include "training/cost.h"
#include "training/devices.h"
#include "training/forecast.h"
#include "training/session.h"
#include "training/signals.h"
#include "training/step.h"

namespace a48::train {
namespace {

constexpr const char* kResults = "results.json";

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// CPUs that this process may run on.
int available_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return physical_cores();
  return CPU_COUNT(&cpus);
}

/// Before anything is allocated.
void demand_memory(const config::RunConfig& config, const Placement& placement, const Path& run) {
  Cost cost = cost_of(config, placement.activation_bytes());
  if (placement.on_gpu()) {
    demand_gpu_memory(cost, device_name(placement), ops::gpu_memory().free);
    cost.activation_bytes = 0;  // on the host only copies for a checkpoint
  }
  demand_resources(cost, run);
}

class Training {
 public:
  Training(Launch launch, const Placement& placement, std::int64_t stop_after)
      : session_(std::move(launch), placement),
        stop_after_(stop_after),
        meter_(config_.run.max_steps),
        forecast_(config_, session_.evaluator.has_validation()) {}
  ExitCode run();
  ExitCode dry_run();

 private:
  // The loop's verbs.
  void step();
  void evaluate();
  void save();
  ExitCode stop();
  ExitCode finish();

  bool done() const { return state_.step >= config_.run.max_steps; }
  bool evaluation_due() const;
  bool save_due(bool stopping) const;
  StepRecord record(const StepPlan& plan, const StepResult& result, double seconds, double data_seconds);
  void forecast();
  /// Seconds since `begin`, added to those of the run.
  double spent(double begin);
  std::optional<Validation> validate(std::size_t stage, quant::Mode mode);
  void sample(std::size_t stage);

  Session session_;
  const config::RunConfig& config_ = session_.config;
  TrainerState& state_ = session_.state;
  const std::int64_t stop_after_;
  Meter meter_;
  Forecast forecast_;
  std::int64_t steps_here_ = 0;  // made by this process
  double started_ = now();
  const std::optional<Peaks> peaks_ = peaks_of(device_name(session_.placement));
};

ExitCode Training::run() {
  session_.announce();
  session_.restore();
  forecast();
  session_.open_record();
  while (true) {
    if (evaluation_due()) evaluate();
    const bool stopping = stop_requested();  // asked once: a turn that leaves the loop has saved
    if (save_due(stopping)) save();
    if (done() || stopping) break;
    step();
  }
  return done() ? finish() : stop();
}

void Training::step() {
  const StepPlan plan = plan_step(config_, state_.step);
  session_.enter_stage(plan);
  const double begin = now();
  const at::Tensor ids = session_.next_batch(plan);
  const double loaded = now();
  const StepResult result = train_step(session_.model, session_.optimizer, config_.stages[plan.stage].optim,
                                       plan, split_batch(ids, config_.run.micro_batch_size));
  const StepRecord line = record(plan, result, spent(begin), loaded - begin);
  session_.metrics.write(line);
  meter_.add(line);
  forecast_.add_step(plan.stage, line.seconds);
  if (++steps_here_ == stop_after_) request_stop(StopCause::step_limit);
  if (state_.step % config_.run.log_interval == 0 || done())
    log::info(meter_.line(line, forecast_.seconds_left(state_.step)));
  if (config_.run.max_minutes > 0.0 && now() - started_ >= 60.0 * config_.run.max_minutes)
    request_stop(StopCause::time_limit);
}

/// Counts the step, whether it was applied or rejected, and says what is to be logged of it.
StepRecord Training::record(const StepPlan& plan, const StepResult& result, double seconds,
                            double data_seconds) {
  const std::int64_t sequences = config_.run.global_batch_size;
  const std::int64_t step_tokens = sequences * config_.stages[plan.stage].data.sequence_length;
  const RejectedStep here{state_.step + 1, state_.stream, state_.consumed, sequences, result.rejected};
  state_.step += 1;
  state_.tokens += step_tokens;
  state_.consumed += sequences;
  state_.stage = static_cast<std::int64_t>(plan.stage);
  state_.applied = session_.optimizer.applied();

  StepRecord line;
  if (result.rejected.empty()) {
    line.scores = note_applied(state_.guard, result.loss, result.grad_norm);
  } else {
    Json event = Json::object();
    event["step"] = here.step;
    event["reason"] = here.reason;
    event["stream"] = here.stream;
    event["consumed"] = here.consumed;
    session_.metrics.write("rejected", event);
    note_rejected(state_.guard, here, session_.optimizer, session_.launch.run);
  }
  line.step = state_.step;
  line.stage = state_.stage;
  line.mode = quant::row_of(plan.mode).name;
  line.tokens = state_.tokens;
  line.step_tokens = step_tokens;
  line.loss = result.loss;
  line.learning_rate = plan.learning_rate;
  line.weight_decay = plan.weight_decay;
  line.grad_norm = result.grad_norm;
  line.param_norm = result.param_norm;
  line.seconds = seconds;
  line.data_seconds = data_seconds;
  line.rejected = state_.guard.rejected;
  line.memory_bytes = memory_in_use(session_.placement);
  if (peaks_) {
    const std::int64_t sequence = config_.stages[plan.stage].data.sequence_length;
    const double tokens = static_cast<double>(step_tokens);
    line.mfu = tokens * flops_per_token(config_.model, sequence) / (seconds * peaks_->bf16_flops);
    line.sol = tokens * least_seconds_per_token(config_.model, plan.slots, sequence, *peaks_) / seconds;
  }
  if (config_.run.state_hash) line.state_hash = state_hash(session_.optimizer);
  return line;
}

/// Said before the first step, from a few passes that change nothing.
void Training::forecast() {
  if (done()) return;
  const std::size_t stage = config::stage_at(config_, state_.step);
  forecast_.start(
      measure_costs(config_, session_.model, session_.optimizer, stage, session_.evaluator.tokens(stage)));
  log::info("expected time: " + forecast_.describe(state_.step));
}

double Training::spent(double begin) {
  const double seconds = now() - begin;
  state_.seconds += seconds;
  return seconds;
}

bool Training::evaluation_due() const {
  return state_.evaluated_step != state_.step && !stop_requested() && session_.evaluator.has_validation() &&
         evaluation_planned(config_, state_.step);
}

std::optional<Validation> Training::validate(std::size_t stage, quant::Mode mode) {
  const std::optional<Validation> result = session_.evaluator.validate(session_.model, stage, mode);
  if (!result) return result;
  log::info(concat("step ", state_.step, " validation ", result->mode, " | loss ", result->loss,
                   " | perplexity ", result->perplexity, " | ", result->tokens, " tokens in ",
                   clock_time(result->seconds)));
  Json event = Json::object();
  event["step"] = state_.step;
  event["stage"] = static_cast<std::int64_t>(stage);
  event["mode"] = result->mode;
  event["as_staged"] = mode == config_.stages[stage].mode;
  event["loss"] = result->loss;
  event["perplexity"] = result->perplexity;
  event["bits_per_byte"] = result->bits_per_byte ? Json(*result->bits_per_byte) : Json();
  event["tokens"] = result->tokens;
  event["sparsity"] = runtime::sparsity_json(result->sparsity);
  event["seconds"] = result->seconds;
  session_.metrics.write("eval", event);
  return result;
}

void Training::sample(std::size_t stage) {
  for (const Sample& sample : session_.evaluator.samples(session_.model, stage)) {
    log::info("sample | " + Json(sample.prompt + sample.text).dump());  // on one line, as JSON quotes it
    Json event = Json::object();
    event["step"] = state_.step;
    event["mode"] = quant::row_of(config_.stages[stage].mode).name;
    event["prompt"] = sample.prompt;
    event["text"] = sample.text;
    session_.metrics.write("sample", event);
  }
}

/// As the stage of the last step is quantized. A stop in the middle leaves it undone; the next start makes it
/// up.
void Training::evaluate() {
  const double begin = now();
  const std::size_t stage = stage_reached(config_, state_.step);
  const std::optional<Validation> result = validate(stage, config_.stages[stage].mode);
  if (!result) return;
  state_.evaluated_step = state_.step;
  state_.validation_loss = result->loss;
  if (state_.best_step < 0 || result->loss < state_.best_validation_loss) {
    state_.best_step = state_.step;
    state_.best_validation_loss = result->loss;
  }
  sample(stage);
  forecast_.add_evaluation(spent(begin));
}

bool Training::save_due(bool stopping) const {
  return session_.saved_step != state_.step && (stopping || save_planned(config_, state_.step));
}

void Training::save() {
  const double begin = now();
  const std::vector<std::string> dead = zero_matrices(session_.optimizer.parameters());
  for (const std::string& name : dead)
    log::warning(concat("all weights of ", name, " are zero at step ", state_.step));
  const Path folder = save_checkpoint(
      session_.launch.run,
      {&config_, &state_, &session_.optimizer, session_.loaders.front()->shards().tokenizer_file});
  session_.saved_step = state_.step;
  const double seconds = spent(begin);  // a checkpoint's own save stands in the next one
  forecast_.add_save(seconds);
  log::info(concat("saved ", folder.string(), " in ", clock_time(seconds)));
  Json event = Json::object();
  event["step"] = state_.step;
  event["folder"] = folder.filename().string();
  event["seconds"] = seconds;
  Json zeros = Json::array();
  for (const std::string& name : dead) zeros.push_back(name);
  event["zero_matrices"] = zeros;
  session_.metrics.write("checkpoint", event);
  retire_checkpoints(session_.launch.run, config_, state_.step,
                     session_.launch.resumed ? session_.launch.resumed->step : -1);
}

ExitCode Training::stop() {
  A48_ASSERT(session_.saved_step == state_.step, session_.saved_step, " ", state_.step);
  Json event = Json::object();
  event["step"] = state_.step;
  event["reason"] = stop_reason();
  session_.metrics.write("signal", event);
  log::info(concat("stopped by ", stop_reason(), " at step ", state_.step,
                   ", saved; the same command goes on from here"));
  return ExitCode::stopped;
}

/// The last step is saved; what each quantizer costs is measured once more (training.md V1).
ExitCode Training::finish() {
  Json results = Json::object(), losses = Json::object();
  const std::size_t stage = config_.stages.size() - 1;
  const quant::Mode staged = config_.stages[stage].mode;
  if (state_.evaluated_step == state_.step) losses[quant::row_of(staged).name] = state_.validation_loss;
  if (session_.evaluator.has_validation()) {
    for (const quant::Mode mode : closing_modes(config_)) {
      const double begin = now();
      const std::optional<Validation> result = validate(stage, mode);
      if (!result) return stop();
      spent(begin);
      losses[result->mode] = result->loss;
    }
  }
  results["step"] = state_.step;
  results["tokens"] = state_.tokens;
  results["mode"] = quant::row_of(staged).name;
  results["validation_loss"] = losses;
  results["best_step"] = state_.best_step;
  results["rejected_steps"] = state_.guard.rejected;
  results["seconds"] = state_.seconds;
  write_file(session_.launch.run / kResults, results.dump(2) + "\n");
  session_.metrics.write("end", results);
  log::info(concat("finished: ", state_.step, " steps, ", short_number(static_cast<double>(state_.tokens)),
                   " tokens in ", clock_time(state_.seconds), "; the model is ",
                   session_.launch.run.string()));
  return ExitCode::done;
}

/// One whole step per stage: forward, backward, update, with the real data and the largest shapes.
ExitCode Training::dry_run() {
  session_.announce();
  session_.initialise();
  std::int64_t begin = 0;
  for (std::size_t stage = 0; stage < config_.stages.size(); ++stage) {
    if (stop_requested()) {
      log::info(concat("dry run stopped by ", stop_reason(), " before stage ", stage + 1, " of ",
                       config_.stages.size(), "; nothing was written"));
      return ExitCode::stopped;
    }
    state_.step = begin;
    const StepPlan plan = plan_step(config_, begin);
    session_.enter_stage(plan);
    const double start = now();
    const StepResult result =
        train_step(session_.model, session_.optimizer, config_.stages[stage].optim, plan,
                   split_batch(session_.next_batch(plan), config_.run.micro_batch_size));
    A48_CHECK(result.rejected.empty(), ErrorKind::not_finite,
              "dry run: the step was rejected: ", result.rejected);
    log::info(concat("dry run: one step of stage ", stage + 1, ", loss ", result.loss, ", ", now() - start,
                     " s, memory ", short_number(static_cast<double>(memory_in_use(session_.placement))),
                     "B"));
    begin = config::stage_end(config_, stage);
  }
  state_.step = 0;
  forecast();
  log::info("dry run: every stage fits; nothing was written");
  return ExitCode::done;
}

/// True when the final evaluation of this very step is on record too.
bool has_results(const Launch& launch) {
  const Path file = launch.run / kResults;
  if (!std::filesystem::exists(file)) return false;
  try {
    return Json::parse(read_file(file), file.string()).at("step").as_int() == launch.resumed->step;
  } catch (const Error& error) {
    log::warning(concat(error.what(), "; the results are measured again"));
    return false;
  }
}

ExitCode train(const TrainRequest& request) {
  Launch launch = prepare_launch(request);
  const config::RunConfig& config = launch.config;
  if (launch.finished() && has_results(launch)) {
    log::info(concat(launch.run.string(), " is finished: ", launch.resumed->step, " of ",
                     config.run.max_steps,
                     " steps are done. A larger run.max_steps extends it; --fresh starts anew."));
    return ExitCode::done;
  }
  const Placement placement = place_run(config);
  ops::use_torch_threads();
  set_thread_count(static_cast<int>(config.run.threads));
  demand_memory(config, placement, launch.run);
  for (const std::string& warning : config::warnings(config)) log::warning(warning);
  if (const int cpus = available_cpus(); config.run.threads > cpus)
    log::warning(concat("run.threads: ", config.run.threads, " threads on ", cpus,
                        " CPUs wait for each other; 0 takes the physical cores"));

  Training training(std::move(launch), placement, request.stop_after);
  return request.dry_run ? training.dry_run() : training.run();
}

}  // namespace

ExitCode run(const TrainRequest& request) {
  const SignalScope signals("\nfinishing step, saving; again to stop now\n");
  return ops::with_torch_errors([&] { return train(request); });
}

}  // namespace a48::train
