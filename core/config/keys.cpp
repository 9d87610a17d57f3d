#include "core/config/keys.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/config/fields.h"
#include "core/config/presets.h"

namespace a48::config {
namespace {

template <typename Block>
void append_block(std::vector<Key>& keys, const std::string& block) {
  for (const Field<Block>& field : fields<Block>()) {
    const Json standard = field.get(Block{});
    keys.push_back({block, field.name, field.type, field.allowed, standard.is_null() ? "" : standard.dump(),
                    field.help, field.resume, field.choices});
  }
}

Key shorthand(const std::string& block, const std::string& name, const std::string& help,
              const std::vector<std::pair<std::string, std::string>>& choices) {
  Key key{block, name, "choice", "", "", help, Resume::same, choices};
  for (const auto& [choice, meaning] : choices)
    key.allowed.append(key.allowed.empty() ? "" : ", ").append(choice);
  return key;
}

template <typename Row>
std::vector<std::pair<std::string, std::string>> choices_of(const std::vector<Row>& rows) {
  std::vector<std::pair<std::string, std::string>> choices;
  for (const Row& row : rows) choices.emplace_back(row.name, row.help);
  return choices;
}

std::vector<Key> build_keys() {
  std::vector<Key> keys;
  keys.push_back(
      shorthand("", "recipe",
                "stages, activation, sub-norms and schedule, expanded before all other keys; a file with "
                "neither recipe nor stages follows a4.8",
                choices_of(recipes())));
  keys.push_back(shorthand("model", "preset", "shape and learning rates, expanded before all other keys",
                           choices_of(presets())));
  append_block<Model>(keys, "model");
  append_block<Quant>(keys, "quant");
  append_block<Stage>(keys, "stages.N");
  append_block<Optim>(keys, "optim");
  append_block<Data>(keys, "data");
  append_block<Eval>(keys, "eval");
  append_block<Run>(keys, "run");
  append_block<Init>(keys, "init");
  return keys;
}

struct Foreign {
  std::string_view theirs, ours;
};
// Names of nanoGPT, llm.c, litgpt, Hugging Face and others.
constexpr std::array kForeign{
    Foreign{"n_layer", "model.num_hidden_layers"},
    Foreign{"n_layers", "model.num_hidden_layers"},
    Foreign{"num_layers", "model.num_hidden_layers"},
    Foreign{"depth", "model.num_hidden_layers"},
    Foreign{"n_head", "model.num_attention_heads"},
    Foreign{"n_heads", "model.num_attention_heads"},
    Foreign{"num_heads", "model.num_attention_heads"},
    Foreign{"n_kv_head", "model.num_key_value_heads"},
    Foreign{"n_kv_heads", "model.num_key_value_heads"},
    Foreign{"num_kv_heads", "model.num_key_value_heads"},
    Foreign{"n_embd", "model.hidden_size"},
    Foreign{"d_model", "model.hidden_size"},
    Foreign{"dim", "model.hidden_size"},
    Foreign{"d_ff", "model.intermediate_size"},
    Foreign{"ffn_dim", "model.intermediate_size"},
    Foreign{"n_vocab", "model.vocab_size"},
    Foreign{"activation", "model.hidden_act"},
    Foreign{"activation_function", "model.hidden_act"},
    Foreign{"layer_norm_eps", "model.rms_norm_eps"},
    Foreign{"layer_norm_epsilon", "model.rms_norm_eps"},
    Foreign{"norm_eps", "model.rms_norm_eps"},
    Foreign{"rope_base", "model.rope_theta"},
    Foreign{"n_positions", "model.max_position_embeddings"},
    Foreign{"n_ctx", "model.max_position_embeddings"},
    Foreign{"block_size", "data.sequence_length"},
    Foreign{"seq_len", "data.sequence_length"},
    Foreign{"seq_length", "data.sequence_length"},
    Foreign{"max_seq_len", "data.sequence_length"},
    Foreign{"max_seq_length", "data.sequence_length"},
    Foreign{"context_length", "data.sequence_length"},
    Foreign{"dataset", "data.path"},
    Foreign{"data_dir", "data.path"},
    Foreign{"lr", "optim.learning_rate"},
    Foreign{"max_lr", "optim.learning_rate"},
    Foreign{"peak_lr", "optim.learning_rate"},
    Foreign{"lr_scheduler", "optim.schedule"},
    Foreign{"lr_scheduler_type", "optim.schedule"},
    Foreign{"lr_decay_style", "optim.schedule"},
    Foreign{"warmup_iters", "optim.warmup_steps"},
    Foreign{"lr_warmup_iters", "optim.warmup_steps"},
    Foreign{"num_warmup_steps", "optim.warmup_steps"},
    Foreign{"adam_beta1", "optim.beta1"},
    Foreign{"adam_beta2", "optim.beta2"},
    Foreign{"adam_epsilon", "optim.epsilon"},
    Foreign{"adam_eps", "optim.epsilon"},
    Foreign{"eps", "optim.epsilon"},
    Foreign{"wd", "optim.weight_decay"},
    Foreign{"max_grad_norm", "optim.grad_clip"},
    Foreign{"grad_norm_clip", "optim.grad_clip"},
    Foreign{"gradient_clip_val", "optim.grad_clip"},
    Foreign{"clip_grad", "optim.grad_clip"},
    Foreign{"per_device_train_batch_size", "run.micro_batch_size"},
    Foreign{"device_batch_size", "run.micro_batch_size"},
    Foreign{"batch_size", "run.global_batch_size"},
    Foreign{"train_batch_size", "run.global_batch_size"},
    Foreign{"total_batch_size", "run.global_batch_size"},
    Foreign{"gradient_accumulation_steps", "run.global_batch_size"},
    Foreign{"grad_accum_steps", "run.global_batch_size"},
    Foreign{"max_iters", "run.max_steps"},
    Foreign{"train_iters", "run.max_steps"},
    Foreign{"num_iterations", "run.max_steps"},
    Foreign{"num_train_steps", "run.max_steps"},
    Foreign{"total_steps", "run.max_steps"},
    Foreign{"out_dir", "run.dir"},
    Foreign{"output_dir", "run.dir"},
    Foreign{"save_steps", "run.save_interval"},
    Foreign{"save_total_limit", "run.keep_last"},
    Foreign{"logging_steps", "run.log_interval"},
    Foreign{"dtype", "run.compute_dtype"},
    Foreign{"precision", "run.compute_dtype"},
    Foreign{"num_threads", "run.threads"},
    Foreign{"eval_steps", "eval.interval"},
    Foreign{"eval_interval", "eval.interval"},
    Foreign{"val_loss_every", "eval.interval"},
    Foreign{"eval_iters", "eval.windows"},
    Foreign{"init_from", "init.from"},
};

bool is_index(const std::string& step) {
  return !step.empty() && std::ranges::all_of(step, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

const std::vector<Key>& all_keys() {
  static const std::vector<Key> keys = build_keys();
  return keys;
}

const Key* find_key(const std::string& path) {
  std::vector<std::string> steps = split_path(path);
  if (steps.size() >= 2 && steps[0] == "stages" && is_index(steps[1])) steps[1] = "N";
  if (steps.size() == 4 && steps[0] == "stages") steps.erase(steps.begin(), steps.begin() + 2);
  std::string plain;
  for (const std::string& step : steps) plain = join_path(plain, step);
  const auto found = std::ranges::find_if(all_keys(), [&](const Key& key) { return key.path() == plain; });
  return found == all_keys().end() ? nullptr : &*found;
}

std::string ours_for_foreign(const std::string& name) {
  const auto found = std::ranges::find(kForeign, std::string_view(name), &Foreign::theirs);
  return found == kForeign.end() ? "" : std::string(found->ours);
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> steps{""};
  for (const char c : path) {
    if (c == '.')
      steps.emplace_back();
    else
      steps.back() += c;
  }
  return steps;
}

std::string join_path(const std::string& block, const std::string& name) {
  return block.empty() ? name : block + "." + name;
}

}  // namespace a48::config
