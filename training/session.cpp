#include "training/session.h"

#include <algorithm>

#include "a48_version.h"
#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/config/print.h"
#include "training/cost.h"
#include "training/step.h"

namespace a48::train {
namespace {

/// What equal bits after a resume depend on (training.md R4).
Json machine_facts(const Placement& placement, bool deterministic) {
  Json facts = Json::object();
  facts["device"] = device_name(placement);
  if (placement.on_gpu()) {
    facts["compute_dtype"] = placement.compute_name();
    facts["deterministic"] = deterministic;
  }
  facts["threads"] = thread_count();
  facts["isa"] = concat(isa_name(active_isa()), " (LibTorch: ", at::get_cpu_capability(), ")");
  facts["build"] = concat(kVersion, " ", kCommit);
  facts["backward_dtype"] = placement.backward == ops::BackwardDtype::bf16 ? "bf16" : "fp32";
  return facts;
}

std::vector<std::unique_ptr<data::Loader>> open_loaders(const config::RunConfig& config) {
  std::vector<std::unique_ptr<data::Loader>> loaders;
  const std::vector<std::uint64_t> streams = streams_of(config);
  for (std::size_t stage = 0; stage < config.stages.size(); ++stage) {
    if (streams[stage] < loaders.size()) continue;
    loaders.push_back(std::make_unique<data::Loader>(config.stages[stage].data, config.model.vocab_size,
                                                     static_cast<std::uint64_t>(config.run.seed),
                                                     config.model.bos_token_id));
    data::check_same_tokenizer(loaders.front()->shards(), loaders.back()->shards());
  }
  return loaders;
}

TokenizerRecord tokenizer_of(const data::ShardSet& shards) {
  return {shards.tokenizer_kind.empty() ? "unknown" : shards.tokenizer_kind, shards.tokenizer_sha256};
}

std::string name_of(const TokenizerRecord& tokenizer) {
  return tokenizer.sha256.empty() ? tokenizer.kind : tokenizer.kind + " " + tokenizer.sha256;
}

/// As far as both are known: weights mean nothing under other ids.
void demand_tokenizer(const Checkpoint& source, const TokenizerRecord& ours) {
  const TokenizerRecord& theirs = source.state.tokenizer;
  const auto differ = [](const std::string& a, const std::string& b, const char* unknown) {
    return a != unknown && b != unknown && a != b;
  };
  A48_CHECK(!differ(theirs.kind, ours.kind, "unknown") && !differ(theirs.sha256, ours.sha256, ""),
            ErrorKind::bad_input, source.folder.string(), " was trained with the tokenizer ", name_of(theirs),
            ", the training data is made with ", name_of(ours),
            "; prepare the data with the model's own tokenizer (a48 prepare --tokenizer)");
}

nn::BitNetForCausalLM build_model(const config::RunConfig& config, const Placement& placement) {
  nn::BitNetForCausalLM model(config.model, placement.device);
  model->set_implementations(config.run.attention_impl, config.run.head_impl);
  model->set_backward(placement.backward);
  model->model->set_compute(placement.compute);
  model->model->set_recompute_glu(config.run.recompute_glu);
  return model;
}

/// False for keys that change only what a run prints, keeps or measures beside.
bool changes_numbers(const config::Difference& change) {
  for (const char* harmless : {"eval.", "run.dir", "run.keep_", "run.log_interval", "run.max_minutes",
                               "run.save_interval", "run.state_hash", "run.threads"}) {
    if (change.path.rfind(harmless, 0) == 0) return false;
  }
  return true;
}

}  // namespace

Session::Session(Launch begun, const Placement& placed)
    : launch(std::move(begun)),
      placement(placed),
      config(launch.config),
      streams(streams_of(config)),
      loaders(open_loaders(config)),
      evaluator(config, loaders.front()->shards()),
      model(build_model(config, placement)),
      optimizer(parameters_of(model)) {}

void Session::announce() const {
  const Cost cost = cost_of(config, placement.activation_bytes());
  log::info(describe(cost, config, loaders.front()->windows()));
  for (const AdamW::Group& group : optimizer.groups()) {
    log::info(concat("optimizer group ", group.name, ": ", group.names.size(), " tensors, ",
                     short_number(static_cast<double>(group.weights())), " weights"));
  }
  if (placement.on_gpu())
    log::info(concat("device: ", device_name(placement), ", activations in ", placement.compute_name(),
                     config.run.deterministic ? ", deterministic" : ""));
  log::info(concat(placement.on_gpu() ? "host: " : "device: ", cpu_name(), ", ", thread_count(), " threads, ",
                   isa_name(active_isa())));
}

void Session::initialise() {
  model->initialise(static_cast<std::uint64_t>(config.run.seed));
  if (!config.init.from.empty()) {
    try {
      const Checkpoint source = find_checkpoint(config.init.from);
      demand_tokenizer(source, tokenizer_of(loaders.front()->shards()));
      load_weights(source, optimizer.parameters());
      if (config.init.optimizer) load_moments(source, optimizer);
    } catch (const Error& error) {
      fail(error.kind(), "init.from: ", error.what());
    }
    state.applied = optimizer.applied();
  }
  model->weights_changed();
}

void Session::restore() {
  if (launch.resumed) {
    const Checkpoint& checkpoint = *launch.resumed;
    state = checkpoint.state;
    A48_CHECK(state.data_fingerprint == fingerprint(), ErrorKind::bad_input, checkpoint.folder.string(),
              ": the training data is not what this run was trained on; fingerprint ", state.data_fingerprint,
              " then, ", fingerprint(), " now. Put the old shards back, or start another run.");
    load_weights(checkpoint, optimizer.parameters());
    load_moments(checkpoint, optimizer);
    saved_step = state.step;
    set_aside_after(launch.run, state.step);
    model->weights_changed();
  } else {
    initialise();
    state.seed = config.run.seed;
    state.data_fingerprint = fingerprint();
  }
  state.tokenizer = tokenizer_of(loaders.front()->shards());
}

/// The run's configuration, and the first events of this start.
void Session::open_record() {
  launch.take_folder();
  remove_leftovers(launch.run);
  write_file(launch.run / "run.json", config::resolved_text(config));
  metrics = Metrics(launch.run);

  const Json machine = machine_facts(placement, config.run.deterministic);
  Json event = Json::object();
  event["version"] = kVersion;
  event["commit"] = kCommit;
  event["config_sha256"] = config::config_sha256(config);
  event["machine"] = machine;
  event["cpu"] = cpu_name();
  event["gpu"] = placement.on_gpu() ? gpu_query() : Json();
  event["ranks"] = 1;
  event["parameters"] = cost_of(config).parameters;
  event["config"] = config::resolved(config);
  metrics.write("run", event);
  if (launch.resumed) {
    log::info(concat("resumed from ", launch.resumed->folder.string(), ": step ", state.step, " of ",
                     config.run.max_steps));
    const bool same_machine = state.machine == machine;
    const bool same =
        same_machine && std::none_of(launch.changes.begin(), launch.changes.end(), changes_numbers);
    if (same_machine && !same)
      log::warning(
          "the configuration was changed: from here on the run is not, bit for bit, the one without the "
          "stop");
    if (!same_machine) {
      log::warning(
          "this start differs from the one that wrote the checkpoint in threads, build or instruction set (" +
          state.machine.dump() + " then, " + machine.dump() +
          " now): the run goes on, but not bit for bit as without the stop");
    }
    Json resume = Json::object();
    resume["step"] = state.step;
    resume["checkpoint"] = launch.resumed->folder.filename().string();
    resume["bitwise"] = same;
    Json changes = Json::array();
    for (const config::Difference& d : launch.changes) {
      Json change = Json::object();
      change["path"] = d.path;
      change["before"] = d.before;
      change["after"] = d.after;
      changes.push_back(change);
    }
    resume["changes"] = changes;
    metrics.write("resume", resume);
  } else {
    log::info(concat(launch.run.string(), " has no checkpoint: starting at step 0"));
  }
  state.machine = machine;
}

std::string Session::fingerprint() const {
  std::string all;
  for (const auto& loader : loaders) {
    if (!all.empty()) all += '+';
    all += loader->fingerprint();
  }
  return all;
}

void Session::enter_stage(const StepPlan& plan) {
  if (active_stage == plan.stage) return;
  active_stage = plan.stage;
  model->set_slots(plan.slots);
  if (streams[plan.stage] != state.stream) {
    state.stream = streams[plan.stage];
    state.consumed = 0;
  }
  const std::string mode = quant::row_of(plan.mode).name;
  log::info(concat("stage ", plan.stage + 1, " of ", config.stages.size(), ": ", mode, ", steps ",
                   state.step + 1, " to ", config::stage_end(config, plan.stage)));
  Json event = Json::object();
  event["step"] = state.step;
  event["stage"] = static_cast<std::int64_t>(plan.stage);
  event["mode"] = mode;
  event["stream"] = state.stream;
  event["consumed"] = state.consumed;
  metrics.write("stage", event);
}

at::Tensor Session::next_batch(const StepPlan& plan) const {
  const data::Loader& loader = *loaders[streams[plan.stage]];
  const at::Tensor ids = at::empty({config.run.global_batch_size, loader.sequence_length() + 1}, at::kLong);
  loader.batch(state.stream, state.consumed, ids.size(0), ids.mutable_data_ptr<std::int64_t>());
  return ids;
}

}  // namespace a48::train
