// A rule is a function that describes its violations; kRules lists them.
#include "core/config/validate.h"

#include "core/base/check.h"

namespace a48::config {
namespace {

using Found = std::vector<std::string>;

std::string stage_path(std::size_t i, const std::string& key) { return concat("stages.", i, ".", key); }

/// The path under which stage i has the key: its own where it differs from the run's, else the run's.
std::string path_in_stage(std::size_t i, bool differs, const std::string& key) {
  return differs ? stage_path(i, key) : key;
}

// Shape
// ---------------------------------------------------------------------------------------------------------------------

void hidden_size_divides_into_heads(const RunConfig& config, Found& found) {
  const Model& m = config.model;
  if (m.hidden_size % m.num_attention_heads != 0)
    found.push_back(concat("model.hidden_size: ", m.hidden_size,
                           " is not a multiple of model.num_attention_heads, ", m.num_attention_heads));
}

void head_size_is_even(const RunConfig& config, Found& found) {
  const Model& m = config.model;
  if (m.hidden_size % m.num_attention_heads == 0 && m.head_dim() % 2 != 0)
    found.push_back(concat("model.hidden_size: ", m.hidden_size, " over ", m.num_attention_heads,
                           " model.num_attention_heads gives the head size ", m.head_dim(),
                           "; rotary positions need an even one"));
}

void heads_divide_into_key_value_heads(const RunConfig& config, Found& found) {
  const Model& m = config.model;
  if (m.num_attention_heads % m.kv_heads() != 0)
    found.push_back(concat("model.num_key_value_heads: ", m.kv_heads(),
                           " does not divide model.num_attention_heads, ", m.num_attention_heads));
}

void special_ids_are_in_vocabulary(const RunConfig& config, Found& found) {
  const Model& m = config.model;
  if (m.bos_token_id >= m.vocab_size)
    found.push_back(
        concat("model.bos_token_id: ", m.bos_token_id, " is not below model.vocab_size, ", m.vocab_size));
  if (m.eos_token_id >= m.vocab_size)
    found.push_back(
        concat("model.eos_token_id: ", m.eos_token_id, " is not below model.vocab_size, ", m.vocab_size));
}

// Stages
// --------------------------------------------------------------------------------------------------------------------

void stages_are_in_order(const RunConfig& config, Found& found) {
  for (std::size_t i = 1; i < config.stages.size(); ++i)
    if (config.stages[i].until <= config.stages[i - 1].until)
      found.push_back(concat(stage_path(i, "until"), ": ", config.stages[i].until, " is not above ",
                             stage_path(i - 1, "until"), ", ", config.stages[i - 1].until));
}

void last_stage_ends_with_the_run(const RunConfig& config, Found& found) {
  const std::size_t last = config.stages.size() - 1;
  if (config.stages[last].until != 1.0)
    found.push_back(
        concat(stage_path(last, "until"), ": ", config.stages[last].until, "; the last stage ends at 1.0"));
}

void no_stage_is_empty(const RunConfig& config, Found& found) {
  std::int64_t begin = 0;
  double from = 0.0;
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const std::int64_t end = stage_end(config, i);
    const double until = config.stages[i].until;
    if (end <= begin && until > from)
      found.push_back(concat(stage_path(i, "until"), ": ", until, " leaves the stage no step between ", from,
                             " and ", until, " of run.max_steps, ", config.run.max_steps,
                             "; more steps or a longer stage"));
    begin = end;
    from = until;
  }
}

// Data and batch
// ------------------------------------------------------------------------------------------------------------

void sequences_fit_the_positions(const RunConfig& config, Found& found) {
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const std::int64_t length = config.stages[i].data.sequence_length;
    const bool own = length != config.data.sequence_length;
    if (length > config.model.max_position_embeddings && (own || i == 0))
      found.push_back(concat(path_in_stage(i, own, "data.sequence_length"), ": ", length,
                             " is above model.max_position_embeddings, ",
                             config.model.max_position_embeddings));
  }
}

void global_batch_holds_whole_micro_batches(const RunConfig& config, Found& found) {
  const Run& run = config.run;
  if (run.global_batch_size % run.micro_batch_size != 0)
    found.push_back(concat("run.global_batch_size: ", run.global_batch_size,
                           " is not a multiple of run.micro_batch_size, ", run.micro_batch_size));
}

void shards_have_a_folder(const RunConfig& config, Found& found) {
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const Data& data = config.stages[i].data;
    const bool own = data.path != config.data.path || data.kind != config.data.kind;
    if (data.kind == DataKind::shards && data.path.empty() && (own || i == 0))
      found.push_back(concat(path_in_stage(i, own, "data.path"),
                             ": missing; expected the folder that `a48 prepare --out` wrote"));
  }
}

// Learning
// ------------------------------------------------------------------------------------------------------------------

void floor_is_below_the_peaks(const RunConfig& config, Found& found) {
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const Optim& optim = config.stages[i].optim;
    const Optim& of_run = config.optim;
    const bool own = optim.min_lr != of_run.min_lr || optim.learning_rate != of_run.learning_rate ||
                     optim.second_learning_rate != of_run.second_learning_rate ||
                     optim.schedule != of_run.schedule;
    if (optim.schedule == Schedule::constant || (!own && i > 0)) continue;
    const std::string path = path_in_stage(i, own, "optim.min_lr");
    if (optim.min_lr > optim.learning_rate)
      found.push_back(
          concat(path, ": ", optim.min_lr, " is above optim.learning_rate, ", optim.learning_rate));
    if (optim.schedule == Schedule::bitnet && optim.min_lr > optim.second_learning_rate)
      found.push_back(concat(path, ": ", optim.min_lr, " is above optim.second_learning_rate, ",
                             optim.second_learning_rate));
  }
}

// Options that exclude each other
// -------------------------------------------------------------------------------------------

void bf16_compute_needs_cuda(const RunConfig& config, Found& found) {
  if (config.run.device != Device::cuda && config.run.compute_dtype == Dtype::bf16)
    found.push_back(
        "run.compute_dtype: bf16 needs run.device=cuda; on a CPU activations are fp32; allowed here: auto, "
        "fp32");
}

void exact_order_needs_a_cpu(const RunConfig& config, Found& found) {
  if (config.run.device != Device::cuda) return;
  if (config.run.attention_impl == AttentionImpl::exact)
    found.push_back("run.attention_impl: exact is the CPU's order; with run.device=cuda allowed: sdpa");
  if (config.run.head_impl == HeadImpl::exact)
    found.push_back("run.head_impl: exact is the CPU's order; with run.device=cuda allowed: gemm");
}

void recomputation_needs_cuda(const RunConfig& config, Found& found) {
  if (config.run.recompute_glu && config.run.device != Device::cuda)
    found.push_back("run.recompute_glu: true needs run.device=cuda");
}

void optimizer_state_needs_a_source(const RunConfig& config, Found& found) {
  if (config.init.optimizer && config.init.from.empty())
    found.push_back(
        "init.optimizer: true needs init.from, the run or checkpoint whose optimizer state it takes");
}

void run_has_a_folder(const RunConfig& config, Found& found) {
  if (config.run.dir.empty())
    found.push_back("run.dir: missing; expected the folder for checkpoints and logs, such as runs/tiny");
}

constexpr void (*kRules[])(const RunConfig&, Found&) = {
    hidden_size_divides_into_heads,
    head_size_is_even,
    heads_divide_into_key_value_heads,
    special_ids_are_in_vocabulary,
    stages_are_in_order,
    last_stage_ends_with_the_run,
    no_stage_is_empty,
    sequences_fit_the_positions,
    global_batch_holds_whole_micro_batches,
    shards_have_a_folder,
    floor_is_below_the_peaks,
    bf16_compute_needs_cuda,
    exact_order_needs_a_cpu,
    recomputation_needs_cuda,
    optimizer_state_needs_a_source,
    run_has_a_folder,
};

}  // namespace

std::vector<std::string> violations(const RunConfig& config) {
  A48_ASSERT(!config.stages.empty());
  Found found;
  for (const auto rule : kRules) rule(config, found);
  return found;
}

std::vector<std::string> warnings(const RunConfig& config) {
  Found found;
  const Model& m = config.model;
  if (config.optim.warmup_steps >= config.run.max_steps)
    found.push_back(concat("optim.warmup_steps: ", config.optim.warmup_steps, " of ", config.run.max_steps,
                           " steps; the learning rate never reaches its peak"));
  const auto divides = [&](std::int64_t unit) {
    return m.hidden_size % unit == 0 && m.intermediate_size % unit == 0;
  };
  if (!divides(256))
    found.push_back(
        "model.hidden_size, model.intermediate_size: not multiples of 256, which GGUF types TQ1_0 and TQ2_0 "
        "need");
  if (!divides(128))
    found.push_back(
        "model.hidden_size, model.intermediate_size: not multiples of 128, which GGUF type I2_S needs");
  if (!divides(4))
    found.push_back(
        "model.hidden_size, model.intermediate_size: not multiples of 4, which packed Hugging Face files "
        "need");
  if (m.hidden_act == Activation::relu2)
    found.push_back(
        "model.hidden_act: relu2 cannot be exported to the GGUF of mainline llama.cpp, which computes silu");
  return found;
}

}  // namespace a48::config
