// The field table: every key of a configuration file, once. It drives parsing (load.cpp), the resolved dump,
// resume differences, help, JSON schema and the README's table (print.cpp). Defaults: types.h. What a line
// is: field.h.
#pragma once

#include <string_view>
#include <vector>

#include "core/config/field.h"
#include "core/config/types.h"

namespace a48::config {

/// The lines of one block, in the order in which they print.
template <typename Block>
const std::vector<Field<Block>>& fields();

/// Kernels keep int32 sums exact up to this many inputs (formats.md 9).
inline constexpr double kMaxInputs = 131072;
inline constexpr double kMaxRows = 16777215;  // 2^24 - 1

template <>
inline const std::vector<Field<Model>>& fields<Model>() {
  using enum Resume;
  static const std::vector<Choice<Activation>> activations{
      {Activation::relu2, "relu2", "ReLU squared: the sparse down input of BitNet a4.8"},
      {Activation::silu, "silu", "SwiGLU, as in LLaMA and BitNet b1.58"}};
  static const std::vector<Field<Model>> table{
      integer("vocab_size", &Model::vocab_size, {2, kMaxRows}, "tokens: rows of embedding and head", same),
      integer("hidden_size", &Model::hidden_size, {2, kMaxInputs}, "features per token", same),
      integer("intermediate_size", &Model::intermediate_size, {1, kMaxInputs},
              "features inside the feed-forward layer", same),
      integer("num_hidden_layers", &Model::num_hidden_layers, {1, 1000}, "blocks", same),
      integer("num_attention_heads", &Model::num_attention_heads, {1, 65536}, "query heads per block", same),
      integer("num_key_value_heads", &Model::num_key_value_heads, {0, 65536},
              "key/value heads per block; 0 = num_attention_heads", same),
      choice("hidden_act", &Model::hidden_act, activations, "activation of the gate", same),
      flag("sub_norm", &Model::sub_norm, "RMSNorm before the out and down projections", same),
      integer("max_position_embeddings", &Model::max_position_embeddings, {1, 1048576},
              "longest sequence, tokens", same),
      number("rope_theta", &Model::rope_theta, {1, 1e12}, "base of the rotary angles", same),
      number("rms_norm_eps", &Model::rms_norm_eps, {0, 1, true}, "added to the mean square in every RMSNorm",
             same),
      number("initializer_range", &Model::initializer_range, {0, 10, true},
             "standard deviation of fresh matrices and embedding", same),
      flag("scaled_init", &Model::scaled_init,
           "standard deviation 1/sqrt(inputs) for the ternary matrices instead", same),
      flag("tie_word_embeddings", &Model::tie_word_embeddings, "the head is the embedding", same),
      integer("bos_token_id", &Model::bos_token_id, {0, kMaxRows}, "id of the token that begins a document",
              same),
      integer("eos_token_id", &Model::eos_token_id, {0, kMaxRows}, "id of the token that ends a document",
              same),
  };
  return table;
}

/// The quantizers that an activation input may use.
inline const std::vector<Choice<quant::Scheme>>& slot_choices() {
  static const std::vector<Choice<quant::Scheme>> choices = [] {
    std::vector<Choice<quant::Scheme>> list;
    for (const quant::SchemeRow& row : quant::kSchemes)
      if (row.scheme != quant::Scheme::ternary) list.push_back({row.scheme, row.name, row.help});
    return list;
  }();
  return choices;
}

template <>
inline const std::vector<Field<Quant>>& fields<Quant>() {
  using enum Resume;
  static const std::vector<Choice<bool>> weights{
      {false, "fp", "not quantized"}, {true, "ternary", quant::row_of(quant::Scheme::ternary).help}};
  static const std::vector<Field<Quant>> table{
      choice("weights", &Quant::ternary_weights, weights,
             "the seven matrices of a block; not set: the mode's", same),
      choice("qkv", &Quant::qkv, slot_choices(), "input of the q, k, v projections; not set: the mode's",
             same),
      choice("o", &Quant::o, slot_choices(), "input of the out projection; not set: the mode's", same),
      choice("gate_up", &Quant::gate_up, slot_choices(),
             "input of the gate and up projections; not set: the mode's", same),
      choice("down", &Quant::down, slot_choices(), "input of the down projection; not set: the mode's", same),
      number("topk_keep_o", &Quant::topk_keep_o, {0, 1, true},
             "kept share of the out projection's input, 1 = all; not set: the mode's", same),
  };
  return table;
}

inline const std::vector<Choice<quant::Mode>>& mode_choices() {
  static const std::vector<Choice<quant::Mode>> choices = [] {
    std::vector<Choice<quant::Mode>> list;
    for (const quant::ModeRow& row : quant::kModes) list.push_back({row.mode, row.name, row.help});
    return list;
  }();
  return choices;
}

/// A stage's own keys; its blocks optim, data and quant override single keys of the run's.
template <>
inline const std::vector<Field<Stage>>& fields<Stage>() {
  using enum Resume;
  static const std::vector<Field<Stage>> table{
      choice("mode", &Stage::mode, mode_choices(), "which quantizers the stage trains with", same,
             {"v2-a8", "v2"}),
      number("until", &Stage::until, {0, 1, true},
             "share of run.max_steps at which the stage ends; 1 in the last", same),
  };
  return table;
}

template <>
inline const std::vector<Field<Optim>>& fields<Optim>() {
  using enum Resume;
  static const std::vector<Choice<Schedule>> schedules{
      {Schedule::constant, "constant", "learning_rate after the warm-up"},
      {Schedule::linear, "linear", "one line from learning_rate to min_lr"},
      {Schedule::cosine, "cosine", "half a cosine from learning_rate to min_lr"},
      {Schedule::wsd, "wsd", "constant, then from decay_start on a tail of shape decay_shape to min_lr"},
      {Schedule::bitnet, "bitnet",
       "two lines to min_lr, the second from second_learning_rate for the second half"}};
  static const std::vector<Choice<DecayShape>> shapes{{DecayShape::linear, "linear", "1 - x"},
                                                      {DecayShape::cosine, "cosine", "half a cosine"},
                                                      {DecayShape::sqrt, "sqrt", "1 - sqrt(x)"}};
  static const std::vector<Field<Optim>> table{
      choice("schedule", &Optim::schedule, schedules, "learning rate over the steps", may_change),
      number("learning_rate", &Optim::learning_rate, {0, 10, true}, "peak; with a preset the preset's",
             may_change),
      number("second_learning_rate", &Optim::second_learning_rate, {0, 10, true},
             "bitnet: peak of the second line; not given: in the preset's ratio to learning_rate",
             may_change),
      number("min_lr", &Optim::min_lr, {0, 10}, "where the schedule ends; not given: 0.02 of learning_rate",
             may_change),
      integer("warmup_steps", &Optim::warmup_steps, {0, 1e9},
              "steps over which the learning rate rises from 0", may_change),
      number("decay_start", &Optim::decay_start, {0, 1}, "wsd: share of the steps before the tail",
             may_change),
      choice("decay_shape", &Optim::decay_shape, shapes, "wsd: shape of the tail", may_change),
      number("weight_decay", &Optim::weight_decay, {0, 10},
             "decoupled; matrices, embedding and head, not gains", may_change),
      number("weight_decay_until", &Optim::weight_decay_until, {0, 1}, "share of the steps with decay",
             may_change),
      number("beta1", &Optim::beta1, {0, 0.999999}, "AdamW, first moment", may_change),
      number("beta2", &Optim::beta2, {0, 0.999999}, "AdamW, second moment", may_change),
      number("epsilon", &Optim::epsilon, {0, 1, true}, "AdamW, added to the root of the second moment",
             may_change),
      number("grad_clip", &Optim::grad_clip, {0, 1e9}, "largest global gradient norm; 0 = off", may_change),
  };
  return table;
}

template <>
inline const std::vector<Field<Data>>& fields<Data>() {
  using enum Resume;
  static const std::vector<Choice<DataKind>> kinds{
      {DataKind::shards, "shards", "token files written by a48 prepare"},
      {DataKind::mock, "mock", "random tokens: measures speed without a loader"}};
  static const std::vector<Choice<Windows>> windows{
      {Windows::cut, "cut", "sequences follow each other without a gap"},
      {Windows::bos, "bos", "each sequence begins at the first BOS after the one before"}};
  static const std::vector<Field<Data>> table{
      choice("kind", &Data::kind, kinds, "where tokens come from", same),
      text("path", &Data::path, "folder of shards", may_change),
      text("train_glob", &Data::train_glob, "shards to train on, inside path", same),
      text("val_glob", &Data::val_glob, "shards to evaluate on, inside path", may_change),
      integer("sequence_length", &Data::sequence_length, {2, 1048576}, "tokens of a training sequence", same),
      choice("windows", &Data::windows, windows, "how shards are cut into sequences", same),
  };
  return table;
}

template <>
inline const std::vector<Field<Eval>>& fields<Eval>() {
  using enum Resume;
  static const std::vector<Field<Eval>> table{
      integer("interval", &Eval::interval, {0, 1e9}, "steps between evaluations; 0 = only at the end",
              may_change),
      integer("windows", &Eval::windows, {0, 1e9}, "pieces of the validation text per evaluation; 0 = all",
              may_change),
      texts("prompts", &Eval::prompts, "continued at every evaluation", may_change),
      integer("sample_tokens", &Eval::sample_tokens, {0, 1048576}, "tokens of a continuation", may_change),
  };
  return table;
}

template <>
inline const std::vector<Field<Run>>& fields<Run>() {
  using enum Resume;
  static const std::vector<Choice<Device>> devices{
      {Device::automatic, "auto", "cuda where present, else cpu"},
      {Device::cpu, "cpu", ""},
      {Device::cuda, "cuda", ""}};
  static const std::vector<Choice<Dtype>> dtypes{{Dtype::automatic, "auto", "bf16 on cuda, fp32 on cpu"},
                                                 {Dtype::fp32, "fp32", ""},
                                                 {Dtype::bf16, "bf16", ""}};
  static const std::vector<Choice<AttentionImpl>> attention{
      {AttentionImpl::sdpa, "sdpa", "LibTorch's; not batch-invariant"},
      {AttentionImpl::exact, "exact", "the fixed order of evaluation"}};
  static const std::vector<Choice<HeadImpl>> heads{
      {HeadImpl::gemm, "gemm", "LibTorch's; not batch-invariant"},
      {HeadImpl::exact, "exact", "the fixed order of evaluation"}};
  static const std::vector<Field<Run>> table{
      text("dir", &Run::dir, "folder of the run: checkpoints, metrics.jsonl", may_change),
      integer("max_steps", &Run::max_steps, {1, 1e9}, "optimizer steps of the whole run", may_change),
      integer("micro_batch_size", &Run::micro_batch_size, {1, 1048576}, "sequences of one forward",
              may_change),
      integer("global_batch_size", &Run::global_batch_size, {1, 1048576}, "sequences of one step", same),
      integer("seed", &Run::seed, {0, kLargestExactInteger}, "of weights, order and samples", same),
      integer("save_interval", &Run::save_interval, {0, 1e9},
              "steps between checkpoints; 0 = stage switches and end only", may_change),
      integer("keep_last", &Run::keep_last, {1, 1e6}, "newest checkpoints that stay", may_change),
      integer("keep_every", &Run::keep_every, {0, 1e9},
              "keep the checkpoint of every n-th step too; 0 = none", may_change),
      integer("log_interval", &Run::log_interval, {1, 1e9}, "steps between console lines", may_change),
      flag("state_hash", &Run::state_hash, "log a hash of weights and moments with every step", may_change),
      number("max_minutes", &Run::max_minutes, {0, 1e9}, "stop and save after this time; 0 = no limit",
             may_change),
      choice("device", &Run::device, devices, "where to train", may_change),
      choice("compute_dtype", &Run::compute_dtype, dtypes, "of activations", may_change),
      choice("backward_dtype", &Run::backward_dtype, dtypes,
             "of the backward products; auto = as compute_dtype, bf16 on a CPU needs avx512_bf16 or AMX",
             may_change),
      choice("attention_impl", &Run::attention_impl, attention, "attention products in training", may_change),
      choice("head_impl", &Run::head_impl, heads, "head product in training", may_change),
      flag("deterministic", &Run::deterministic,
           "on a GPU use only algorithms whose results are the same in every run; on a CPU they always are",
           may_change),
      flag("recompute_glu", &Run::recompute_glu,
           "on a GPU compute gate and up again in backward, from the saved codes of their input: less memory",
           may_change),
      integer("threads", &Run::threads, {0, 4096}, "0 = physical cores", may_change),
  };
  return table;
}

template <>
inline const std::vector<Field<Init>>& fields<Init>() {
  using enum Resume;
  static const std::vector<Field<Init>> table{
      text("from", &Init::from, "run or checkpoint whose weights the run starts from; empty = random",
           may_change),
      flag("optimizer", &Init::optimizer, "take its optimizer state too", may_change),
  };
  return table;
}

inline constexpr const char* kStagesHelp =
    "parts of the run, in order; the blocks optim, data and quant of a stage override single keys of the "
    "run's";
inline constexpr std::string_view kBlockBeforeStages =
    "quant";  // where `stages` stands in the dump and the schema

/// Calls visit(name, member, help) for each block of RunConfig that is a plain struct; `stages` is a list and
/// stands apart.
template <typename Visit>
void for_each_block(Visit&& visit) {
  visit("model", &RunConfig::model, "shape of the network");
  visit("quant", &RunConfig::quant, "single quantizers set apart from the mode's, in all stages");
  visit("optim", &RunConfig::optim, "optimizer and its schedules");
  visit("data", &RunConfig::data, "training and validation text");
  visit("eval", &RunConfig::eval, "evaluation while training");
  visit("run", &RunConfig::run, "length, batch, folder and machine");
  visit("init", &RunConfig::init, "weights to start from");
}

/// The same for the blocks with which a stage overrides the run's: visit(name, member of Stage, member of
/// RunConfig).
template <typename Visit>
void for_each_stage_block(Visit&& visit) {
  visit("optim", &Stage::optim, &RunConfig::optim);
  visit("data", &Stage::data, &RunConfig::data);
  visit("quant", &Stage::quant, &RunConfig::quant);
}

}  // namespace a48::config
