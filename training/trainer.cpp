// Hop 2 of the training walk: build, restore, then step, log, evaluate, save until the last step or a stop.
// One step: step.cpp.
#include "training/trainer.h"

#include <chrono>
#include <memory>

#include "a48_version.h"
#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/config/print.h"
#include "core/config/validate.h"
#include "core/ops/threads.h"
#include "data/loader.h"
#include "modules/causal_lm.h"
#include "training/checkpoint.h"
#include "training/cost.h"
#include "training/evaluate.h"
#include "training/launch.h"
#include "training/metrics.h"
#include "training/optimizer.h"
#include "training/signals.h"
#include "training/stages.h"
#include "training/step.h"
#include "training/torch_errors.h"

namespace a48::train {
namespace {

constexpr std::int64_t kStepsBeforeForecast = 5;  // the first ones are slower: caches, pages
constexpr const char* kResults = "results.json";

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What equal bits after a resume depend on (training.md R4).
Json machine_facts(const config::RunConfig& config) {
  Json facts = Json::object();
  facts["device"] = "cpu";
  facts["threads"] = thread_count();
  facts["isa"] = concat(isa_name(active_isa()), " (LibTorch: ", at::get_cpu_capability(), ")");
  facts["build"] = concat(kVersion, " ", kCommit);
  facts["backward_dtype"] = config.run.backward_dtype == config::Dtype::bf16 ? "bf16" : "fp32";
  return facts;
}

void demand_cpu(const config::RunConfig& config) {
  A48_CHECK(config.run.device != config::Device::cuda, ErrorKind::no_resources,
            "run.device: this version trains on the CPU; use cpu or auto");
  A48_CHECK(config.run.compute_dtype != config::Dtype::bf16, ErrorKind::config,
            "run.compute_dtype: bf16 needs a GPU; on the CPU it is fp32 (or auto)");
  A48_CHECK(config.run.backward_dtype != config::Dtype::bf16, ErrorKind::config,
            "run.backward_dtype: this version computes backward products in fp32 (or auto)");
}

class Training {
 public:
  Training(Launch launch, std::int64_t stop_after);
  ExitCode run();
  void dry_run();

 private:
  // The loop's verbs.
  void announce();
  void restore();
  void step();
  void evaluate();
  void save();
  ExitCode stop();
  ExitCode finish();

  bool done() const { return state_.step >= config_.run.max_steps; }
  bool evaluation_due() const;
  bool save_due() const;
  void enter_stage(const StepPlan& plan);
  at::Tensor next_batch(const StepPlan& plan);
  StepRecord record(const StepPlan& plan, const StepResult& result, double seconds, double data_seconds);
  void forecast();
  std::string fingerprint() const;
  std::optional<Validation> validate(std::size_t stage, quant::Mode mode);
  void sample(std::size_t stage);

  Launch launch_;
  const std::int64_t stop_after_;
  const config::RunConfig& config_;
  std::vector<std::uint64_t> streams_;                  // per stage
  std::vector<std::unique_ptr<data::Loader>> loaders_;  // per stream
  Evaluator evaluator_;
  nn::BitNetForCausalLM model_;
  AdamW optimizer_;
  TrainerState state_;
  Metrics metrics_;
  Meter meter_;
  std::optional<std::size_t> active_stage_;
  std::int64_t saved_step_ = -1;
  std::int64_t steps_here_ = 0;  // made by this process
  double started_ = now();
};

std::vector<std::unique_ptr<data::Loader>> open_loaders(const config::RunConfig& config) {
  std::vector<std::unique_ptr<data::Loader>> loaders;
  const std::vector<std::uint64_t> streams = streams_of(config);
  for (std::size_t stage = 0; stage < config.stages.size(); ++stage) {
    if (streams[stage] < loaders.size()) continue;
    loaders.push_back(std::make_unique<data::Loader>(config.stages[stage].data, config.model.vocab_size,
                                                     static_cast<std::uint64_t>(config.run.seed)));
  }
  return loaders;
}

nn::BitNetForCausalLM build_model(const config::RunConfig& config) {
  nn::BitNetForCausalLM model(config.model);
  model->set_implementations(config.run.attention_impl, config.run.head_impl);
  return model;
}

Training::Training(Launch launch, std::int64_t stop_after)
    : launch_(std::move(launch)),
      stop_after_(stop_after),
      config_(launch_.config),
      streams_(streams_of(config_)),
      loaders_(open_loaders(config_)),
      evaluator_(config_),
      model_(build_model(config_)),
      optimizer_(parameters_of(model_)),
      meter_(config_.run.max_steps) {}

ExitCode Training::run() {
  announce();
  restore();
  while (true) {
    if (evaluation_due()) evaluate();
    if (save_due()) save();
    if (done() || stop_requested()) break;
    step();
  }
  return done() ? finish() : stop();
}

void Training::announce() {
  const Cost cost = cost_of(config_);
  log::info(describe(cost, config_, loaders_.front()->windows()));
  for (const AdamW::Group& group : optimizer_.groups()) {
    log::info(concat("optimizer group ", group.name, ": ", group.names.size(), " tensors, ",
                     short_number(static_cast<double>(group.weights())), " weights"));
  }
  log::info(concat("device: ", cpu_name(), ", ", thread_count(), " threads, ", isa_name(active_isa())));
}

/// From the checkpoint, from init.from, or from the seed; then the run's record begins or goes on.
void Training::restore() {
  remove_leftovers(launch_.run);
  if (launch_.resumed) {
    const Checkpoint& checkpoint = *launch_.resumed;
    state_ = checkpoint.state;
    A48_CHECK(state_.data_fingerprint == fingerprint(), ErrorKind::bad_input, checkpoint.folder.string(),
              ": the training data is not what this run was trained on; fingerprint ",
              state_.data_fingerprint, " then, ", fingerprint(),
              " now. Put the old shards back, or start another run.");
    load_weights(checkpoint, optimizer_.parameters());
    load_moments(checkpoint, optimizer_);
    saved_step_ = state_.step;
    if (launch_.explicit_step) set_aside_after(launch_.run, state_.step);
  } else {
    model_->initialise(static_cast<std::uint64_t>(config_.run.seed));
    if (!config_.init.from.empty()) {
      const Checkpoint source = find_checkpoint(config_.init.from);
      load_weights(source, optimizer_.parameters());
      if (config_.init.optimizer) load_moments(source, optimizer_);
    }
    state_.seed = config_.run.seed;
    state_.data_fingerprint = fingerprint();
  }
  model_->weights_changed();
  write_file(launch_.run / "run.json", config::resolved_text(config_));
  metrics_ = Metrics(launch_.run);

  const Json machine = machine_facts(config_);
  Json event = Json::object();
  event["version"] = kVersion;
  event["commit"] = kCommit;
  event["config_sha256"] = config::config_sha256(config_);
  event["machine"] = machine;
  event["cpu"] = cpu_name();
  event["power_limit"] = Json();
  event["ranks"] = 1;
  event["parameters"] = cost_of(config_).parameters;
  event["config"] = config::resolved(config_);
  metrics_.write("run", event);
  if (launch_.resumed) {
    log::info(concat("resumed from ", launch_.resumed->folder.string(), ": step ", state_.step, " of ",
                     config_.run.max_steps));
    const bool same = state_.machine == machine;
    if (!same) {
      log::warning(
          "this start differs from the one that wrote the checkpoint in threads, build or instruction set (" +
          state_.machine.dump() + " then, " + machine.dump() +
          " now): the run goes on, but not bit for bit as without the stop");
    }
    Json resume = Json::object();
    resume["step"] = state_.step;
    resume["checkpoint"] = launch_.resumed->folder.filename().string();
    resume["bitwise"] = same;
    Json changes = Json::array();
    for (const config::Difference& d : launch_.changes) {
      Json change = Json::object();
      change["path"] = d.path;
      change["before"] = d.before;
      change["after"] = d.after;
      changes.push_back(change);
    }
    resume["changes"] = changes;
    metrics_.write("resume", resume);
  } else {
    log::info(concat(launch_.run.string(), " has no checkpoint: starting at step 0"));
  }
  state_.machine = machine;
}

std::string Training::fingerprint() const {
  std::string all;
  for (const auto& loader : loaders_) {
    if (!all.empty()) all += '+';
    all += loader->fingerprint();
  }
  return all;
}

void Training::enter_stage(const StepPlan& plan) {
  if (active_stage_ == plan.stage) return;
  active_stage_ = plan.stage;
  model_->set_slots(plan.slots);
  if (streams_[plan.stage] != state_.stream) {
    state_.stream = streams_[plan.stage];
    state_.consumed = 0;
  }
  const std::string mode = quant::row_of(plan.mode).name;
  log::info(concat("stage ", plan.stage + 1, " of ", config_.stages.size(), ": ", mode, ", steps ",
                   state_.step + 1, " to ", config::stage_end(config_, plan.stage)));
  Json event = Json::object();
  event["step"] = state_.step;
  event["stage"] = static_cast<std::int64_t>(plan.stage);
  event["mode"] = mode;
  metrics_.write("stage", event);
}

at::Tensor Training::next_batch(const StepPlan& plan) {
  const data::Loader& loader = *loaders_[streams_[plan.stage]];
  const at::Tensor ids = at::empty({config_.run.global_batch_size, loader.sequence_length() + 1}, at::kLong);
  loader.batch(state_.stream, state_.consumed, ids.size(0), ids.mutable_data_ptr<std::int64_t>());
  return ids;
}

void Training::step() {
  const StepPlan plan = plan_step(config_, state_.step);
  enter_stage(plan);
  const double begin = now();
  const at::Tensor ids = next_batch(plan);
  const double loaded = now();
  const StepResult result = train_step(model_, optimizer_, config_.stages[plan.stage].optim, plan,
                                       split_batch(ids, config_.run.micro_batch_size));
  const StepRecord line = record(plan, result, now() - begin, loaded - begin);
  metrics_.write(line);
  meter_.add(line);
  if (++steps_here_ == kStepsBeforeForecast) forecast();
  if (steps_here_ == stop_after_) request_stop(StopCause::step_limit);
  if (state_.step % config_.run.log_interval == 0 || done()) log::info(meter_.line(line));
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
  state_.seconds += seconds;
  state_.applied = optimizer_.applied();

  StepRecord line;
  if (result.rejected.empty()) {
    line.scores = note_applied(state_.guard, result.loss, result.grad_norm);
  } else {
    Json event = Json::object();
    event["step"] = here.step;
    event["reason"] = here.reason;
    event["stream"] = here.stream;
    event["consumed"] = here.consumed;
    metrics_.write("rejected", event);
    note_rejected(state_.guard, here, optimizer_, launch_.run);
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
  if (config_.run.state_hash) line.state_hash = state_hash(optimizer_);
  return line;
}

void Training::forecast() {
  const double rest = meter_.seconds_per_step() * static_cast<double>(config_.run.max_steps - state_.step);
  log::info(concat("expected time: about ", clock_time(rest), " for ", config_.run.max_steps - state_.step,
                   " steps, without evaluations"));
}

bool Training::evaluation_due() const {
  if (state_.step == 0 || state_.evaluated_step == state_.step || stop_requested() ||
      !evaluator_.has_validation())
    return false;
  const std::int64_t interval = config_.eval.interval;
  return done() || (interval > 0 && (state_.step % interval == 0 || before_switch(config_, state_.step)));
}

std::optional<Validation> Training::validate(std::size_t stage, quant::Mode mode) {
  const std::optional<Validation> result = evaluator_.validate(model_, stage, mode);
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
  event["seconds"] = result->seconds;
  metrics_.write("eval", event);
  return result;
}

void Training::sample(std::size_t stage) {
  for (const Sample& sample : evaluator_.samples(model_, stage)) {
    log::info(concat("sample | ", sample.prompt, sample.text));
    Json event = Json::object();
    event["step"] = state_.step;
    event["mode"] = quant::row_of(config_.stages[stage].mode).name;
    event["prompt"] = sample.prompt;
    event["text"] = sample.text;
    metrics_.write("sample", event);
  }
}

/// As the stage of the last step is quantized. A stop in the middle leaves it undone; the next start makes it
/// up.
void Training::evaluate() {
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
}

bool Training::save_due() const {
  if (saved_step_ == state_.step) return false;
  const std::int64_t interval = config_.run.save_interval;
  const bool regular = state_.step > 0 && interval > 0 && state_.step % interval == 0;
  return regular || done() || before_switch(config_, state_.step) || stop_requested();
}

void Training::save() {
  const double begin = now();
  const std::vector<std::string> dead = zero_matrices(optimizer_.parameters());
  for (const std::string& name : dead)
    log::warning(concat("all weights of ", name, " are zero at step ", state_.step));
  const Path folder = save_checkpoint(
      launch_.run, {&config_, &state_, &optimizer_, loaders_.front()->shards().tokenizer_file});
  saved_step_ = state_.step;
  const double seconds = now() - begin;
  log::info(concat("saved ", folder.string(), " in ", clock_time(seconds)));
  Json event = Json::object();
  event["step"] = state_.step;
  event["folder"] = folder.filename().string();
  event["seconds"] = seconds;
  Json zeros = Json::array();
  for (const std::string& name : dead) zeros.push_back(name);
  event["zero_matrices"] = zeros;
  metrics_.write("checkpoint", event);
  retire_checkpoints(launch_.run, config_, launch_.resumed ? launch_.resumed->step : -1);
}

ExitCode Training::stop() {
  Json event = Json::object();
  event["step"] = state_.step;
  event["reason"] = stop_reason();
  metrics_.write("signal", event);
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
  if (evaluator_.has_validation() && slots_of_stage(config_, stage).ternary_weights) {
    for (const quant::Mode mode : {quant::Mode::a8, quant::Mode::a16}) {
      if (mode == staged) continue;
      const std::optional<Validation> result = validate(stage, mode);
      if (!result) return stop();
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
  write_file(launch_.run / kResults, results.dump(2) + "\n");
  metrics_.write("end", results);
  log::info(concat("finished: ", state_.step, " steps, ", short_number(static_cast<double>(state_.tokens)),
                   " tokens in ", clock_time(state_.seconds), "; the model is ", launch_.run.string()));
  return ExitCode::done;
}

/// One whole step per stage: forward, backward, update, with the real data and the largest shapes.
void Training::dry_run() {
  announce();
  model_->initialise(static_cast<std::uint64_t>(config_.run.seed));
  std::int64_t begin = 0;
  for (std::size_t stage = 0; stage < config_.stages.size() && !stop_requested(); ++stage) {
    state_.step = begin;
    const StepPlan plan = plan_step(config_, begin);
    enter_stage(plan);
    const double start = now();
    const StepResult result = train_step(model_, optimizer_, config_.stages[stage].optim, plan,
                                         split_batch(next_batch(plan), config_.run.micro_batch_size));
    A48_CHECK(result.rejected.empty(), ErrorKind::not_finite,
              "dry run: the step was rejected: ", result.rejected);
    log::info(concat("dry run: one step of stage ", stage + 1, ", loss ", result.loss, ", ", now() - start,
                     " s, memory ", short_number(static_cast<double>(used_memory_bytes())), "B"));
    begin = config::stage_end(config_, stage);
  }
  log::info("dry run: every stage fits; nothing was written");
}

/// True when the final evaluation of this very step is on record too.
bool has_results(const Launch& launch) {
  const Path file = launch.run / kResults;
  if (!std::filesystem::exists(file)) return false;
  return Json::parse(read_file(file), file.string()).at("step").as_int() == launch.resumed->step;
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
  demand_cpu(config);
  ops::use_torch_threads();
  set_thread_count(static_cast<int>(config.run.threads));
  demand_resources(cost_of(config), launch.run);
  for (const std::string& warning : config::warnings(config)) log::warning(warning);

  Training training(std::move(launch), request.stop_after);
  if (!request.dry_run) return training.run();
  training.dry_run();
  return ExitCode::done;
}

/// Positions are a function of configuration and step as long as the stages keep their ends.
Json spans_at(const std::string& run, std::int64_t step) {
  const Checkpoint checkpoint = find_checkpoint(run);
  const config::RunConfig& config = checkpoint.config;
  A48_CHECK(step >= 1 && step <= config.run.max_steps, ErrorKind::config, "step ", step,
            ": the run has steps 1 to ", config.run.max_steps);
  const std::size_t stage = config::stage_at(config, step - 1);
  const std::vector<std::uint64_t> streams = streams_of(config);
  std::size_t first = stage;  // of this stream
  while (first > 0 && streams[first - 1] == streams[stage]) --first;
  const std::int64_t begin = first == 0 ? 0 : config::stage_end(config, first - 1);
  const std::int64_t sequences = config.run.global_batch_size, consumed = (step - 1 - begin) * sequences;
  const data::Loader loader(config.stages[stage].data, config.model.vocab_size,
                            static_cast<std::uint64_t>(config.run.seed));
  Json spans = Json::array();
  for (const data::Span& span : loader.spans(streams[stage], consumed, sequences)) {
    Json entry = Json::object();
    const bool mock = config.stages[stage].data.kind == config::DataKind::mock;
    entry["file"] = mock ? Json() : Json(loader.shards().shards[span.shard]->path().string());
    entry["begin"] = span.begin;
    entry["count"] = span.count;
    spans.push_back(entry);
  }
  Json result = Json::object();
  result["step"] = step;
  result["stage"] = static_cast<std::int64_t>(stage);
  result["stream"] = streams[stage];
  result["consumed"] = consumed;
  result["spans"] = spans;
  return result;
}

}  // namespace

Json data_read_at(const std::string& run, std::int64_t step) {
  return with_torch_errors([&] { return spans_at(run, step); });
}

ExitCode run(const TrainRequest& request) {
  const SignalScope signals;
  return with_torch_errors([&] { return train(request); });
}

}  // namespace a48::train
