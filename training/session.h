// What a run consists of while it trains: data, model, optimizer, state and record; how it is built, and how
// it takes up the state of its checkpoint. What happens with it step by step: trainer.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "modules/causal_lm.h"
#include "training/checkpoint.h"
#include "training/devices.h"
#include "training/evaluate.h"
#include "training/launch.h"
#include "training/metrics.h"
#include "training/optimizer.h"
#include "training/stages.h"

namespace a48::train {

struct Session {
  /// Opens and checks all data of all stages, then allocates the model.
  explicit Session(Launch launch, const Placement& placement = {});
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// What the run will cost, and on what it runs.
  void announce() const;
  /// Weights of a run that starts at step 0: from the seed, or those of init.from.
  void initialise();
  /// From the checkpoint, or as a new run.
  void restore();
  void open_record();
  /// Quantizers of the step's stage; at its start, also its data stream.
  void enter_stage(const StepPlan& plan);
  /// ids [global batch, T+1] of the next step.
  at::Tensor next_batch(const StepPlan& plan) const;
  std::string fingerprint() const;  // of all training data

  Launch launch;
  Placement placement;
  const config::RunConfig& config;
  std::vector<std::uint64_t> streams;                  // per stage
  std::vector<std::unique_ptr<data::Loader>> loaders;  // per stream
  Evaluator evaluator;
  nn::BitNetForCausalLM model;
  AdamW optimizer;
  TrainerState state;
  Metrics metrics;  // writes nothing before open_record
  std::optional<std::size_t> active_stage;
  std::int64_t saved_step = -1;
};

}  // namespace a48::train
