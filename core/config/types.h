// Plain structs of a run's configuration, with defaults; units in the comments. Field table: fields.h; rules
// between fields: validate.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/quant/scheme.h"

namespace a48::config {

enum class Activation { relu2, silu };

/// Shape of the network; names of Hugging Face's BitNet configuration.
struct Model {
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 0;  // 0 = num_attention_heads; resolved by load
  Activation hidden_act = Activation::relu2;
  bool sub_norm = true;  // RMSNorm before o_proj and down_proj
  std::int64_t max_position_embeddings = 2048;
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-5;
  double initializer_range = 0.02;  // standard deviation of matrices and embedding
  bool scaled_init = false;         // standard deviation 1/sqrt(inputs) for the ternary matrices instead
  bool tie_word_embeddings = false;
  std::int64_t bos_token_id = 1;
  std::int64_t eos_token_id = 2;

  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  std::int64_t kv_heads() const {
    return num_key_value_heads > 0 ? num_key_value_heads : num_attention_heads;
  }
};

/// Slots set apart from the mode's preset; unset = the mode's.
struct Quant {
  std::optional<bool> ternary_weights;
  std::optional<quant::Scheme> qkv, o, gate_up, down;
  std::optional<double> topk_keep_o;
};

enum class Schedule { constant, linear, cosine, wsd, bitnet };
enum class DecayShape { linear, cosine, sqrt };

struct Optim {
  Schedule schedule = Schedule::bitnet;
  double learning_rate = 1.5e-3;       // peak; first line of the two-line schedule
  double second_learning_rate = 1e-3;  // second line, from 2s >= S on
  double min_lr = 3e-5;                // f: where the schedule ends
  std::int64_t warmup_steps = 375;
  double decay_start = 0.9;  // wsd: share of the steps before the decay
  DecayShape decay_shape = DecayShape::linear;
  double weight_decay = 0.1;        // matrices, embedding, head; not gains
  double weight_decay_until = 0.5;  // share u of the steps with decay: s < u·S
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double grad_clip = 1.0;  // global norm; 0 = off
};

enum class Windows { cut, bos };
enum class DataKind { shards, mock };

struct Data {
  DataKind kind = DataKind::shards;
  std::string path;  // folder of shards written by `a48 prepare`
  std::string train_glob = "*_train_*.bin";
  std::string val_glob = "*_val_*.bin";
  std::int64_t sequence_length = 2048;  // tokens
  Windows windows = Windows::cut;
};

struct Eval {
  std::int64_t interval = 100;       // steps; 0 = only at the end
  std::int64_t windows = 64;         // evaluation pieces in the loop, evenly spaced; 0 = all
  std::vector<std::string> prompts;  // sampled at every evaluation
  std::int64_t sample_tokens = 48;
};

struct Stage {
  quant::Mode mode = quant::Mode::a8;
  double until = 1.0;  // fraction of run.max_steps at which the stage ends
  // Resolved for this stage: the run's blocks with the stage's own keys laid over them.
  Optim optim;
  Data data;
  Quant quant;
};

enum class Device { automatic, cpu, cuda };
enum class Dtype { automatic, fp32, bf16 };
enum class AttentionImpl { sdpa, exact };
enum class HeadImpl { gemm, exact };

struct Run {
  std::string dir;                     // run folder: checkpoints, metrics.jsonl
  std::int64_t max_steps = 1000;       // S
  std::int64_t micro_batch_size = 8;   // sequences of one forward
  std::int64_t global_batch_size = 8;  // sequences of one step
  std::int64_t seed = 1;               // < 2^53
  std::int64_t save_interval = 200;    // steps; 0 = only at stage switches and at the end
  std::int64_t keep_last = 3;
  std::int64_t keep_every = 0;     // keep every n-th checkpoint step; 0 = none
  std::int64_t log_interval = 10;  // steps between console lines
  bool state_hash = false;         // log a hash of weights and moments with every step
  double max_minutes = 0.0;        // 0 = no limit; acts as SIGTERM
  Device device = Device::automatic;
  Dtype compute_dtype = Dtype::automatic;
  Dtype backward_dtype = Dtype::automatic;
  AttentionImpl attention_impl = AttentionImpl::sdpa;
  HeadImpl head_impl = HeadImpl::gemm;
  bool deterministic = false;  // on a GPU: two runs give the same bits
  bool recompute_glu = false;  // on a GPU: gate and up again in backward, from their saved codes
  std::int64_t threads = 0;    // 0 = physical cores
};

struct Init {
  std::string from;        // checkpoint or run folder to start from; empty = random
  bool optimizer = false;  // take its moments too
};

struct RunConfig {
  Model model;
  Quant quant;
  std::vector<Stage> stages{Stage{}};
  Optim optim;
  Data data;
  Eval eval;
  Run run;
  Init init;
};

/// The mode's slots with the overrides of `quant` laid over them.
quant::Slots slots_of(quant::Mode mode, const Quant& overrides);

/// First step at which stage i no longer runs: S − floor((1 − until)·S + 0.5) in doubles (numerics.md 6).
std::int64_t stage_end(const RunConfig& config, std::size_t stage);
/// Index of the stage that step s belongs to, 0 <= s < S.
std::size_t stage_at(const RunConfig& config, std::int64_t step);

/// Weights in the model's matrices, embedding and head counted apart.
std::int64_t non_embedding_parameters(const Model& model);
std::int64_t embedding_parameters(const Model& model);  // embedding, and head when untied
std::int64_t total_parameters(const Model& model);      // with gains

/// "11M" … "7B", "2b4t", "124M", "0.5B" (numerics.md 6); Error(config) naming the choices.
Model model_preset(const std::string& name);

}  // namespace a48::config
