// A run small enough to train in a second, and what tests do with it: train, stop after n steps, read back
// what it logged and saved.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/config/load.h"
#include "core/config/types.h"
#include "data/prepare.h"
#include "tests/support/temp_dir.h"
#include "training/trainer.h"

namespace a48::test {

/// Between runs whose sums have other orders, relative (training.md P7).
inline constexpr double kRecordedTolerance = 1e-4;

/// 2 layers of width 32, both stages (a8 until 0.6, then a4.8), mock data without validation.
inline Json tiny_config() {
  return Json::parse(R"({
    "model": {"vocab_size": 259, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "max_position_embeddings": 64},
    "stages": [{"mode": "a8", "until": 0.6}, {"mode": "a4.8", "until": 1.0}],
    "optim": {"schedule": "bitnet", "learning_rate": 4e-3, "second_learning_rate": 2e-3, "min_lr": 1e-4,
              "warmup_steps": 3, "weight_decay": 0.1, "weight_decay_until": 0.5},
    "data": {"kind": "mock", "sequence_length": 16},
    "eval": {"interval": 0, "windows": 4, "prompts": []},
    "run": {"dir": "not written", "max_steps": 20, "micro_batch_size": 4, "global_batch_size": 8, "seed": 5, "save_interval": 0,
            "log_interval": 1000, "threads": 2}
  })",
                     "tiny_config");
}

inline config::RunConfig tiny_run_config(const std::vector<std::string>& overrides = {}) {
  return config::load_json(tiny_config(), "tiny_config", overrides);
}

/// A text of about `bytes` bytes in short lines.
inline std::string tiny_text(std::size_t bytes) {
  const char* words[] = {"light", "and", "the", "water", "day", "was", "called", "night", "earth", "first"};
  std::string text;
  for (std::size_t i = 0; text.size() < bytes; ++i) {
    text += words[(i * i + i / 7) % std::size(words)];
    text += i % 9 == 8 ? ".\n" : " ";
  }
  return text;
}

/// A folder with a configuration, byte-token shards and a run.
class TinyRun {
 public:
  explicit TinyRun(const std::vector<std::string>& overrides = {}) : overrides_(overrides) {
    log::set_level(log::Level::error);
    write_file(config_path(), tiny_config().dump(2));
    overrides_.push_back("run.dir=" + run().string());
  }

  /// Real shards of `bytes` bytes of text in place of mock data.
  TinyRun& with_text(std::size_t bytes) {
    write_file(folder_ / "text.txt", tiny_text(bytes));
    data::PrepareRequest request;
    request.texts = {(folder_ / "text.txt").string()};
    request.out = (folder_ / "data").string();
    request.tokenizer = "bytes";
    request.val_fraction = 0.2;
    data::prepare(request);
    overrides_.push_back("data.kind=shards");
    overrides_.push_back("data.path=" + (folder_ / "data").string());
    return *this;
  }

  Path folder() const { return folder_.path(); }
  Path run() const { return folder_ / "run"; }
  std::string config_path() const { return (folder_ / "config.json").string(); }
  Path checkpoint(std::int64_t step) const;

  train::TrainRequest request(const std::vector<std::string>& more = {}) const {
    train::TrainRequest request;
    request.config_path = config_path();
    request.overrides = overrides_;
    request.overrides.insert(request.overrides.end(), more.begin(), more.end());
    return request;
  }
  ExitCode train(const std::vector<std::string>& more = {}) const { return train::run(request(more)); }
  /// Ends as on a SIGTERM after `steps` steps.
  ExitCode train_and_stop(std::int64_t steps, const std::vector<std::string>& more = {}) const {
    train::TrainRequest stopped = request(more);
    stopped.stop_after = steps;
    return train::run(stopped);
  }

  /// Events of metrics.jsonl of one kind, in file order.
  std::vector<Json> events(const std::string& kind) const {
    std::vector<Json> found;
    const std::string text = read_file(run() / "metrics.jsonl");
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      const Json event = Json::parse(text.substr(begin, end - begin), "metrics.jsonl");
      if (event.at("event").as_string() == kind) found.push_back(event);
      begin = end + 1;
    }
    return found;
  }
  /// The last value of each step, as text that keeps every bit.
  std::map<std::int64_t, std::string> logged(const std::string& key, const std::string& kind = "step") const {
    std::map<std::int64_t, std::string> values;
    for (const Json& event : events(kind)) values[event.at("step").as_int()] = event.at(key).dump();
    return values;
  }

 private:
  TempDir folder_;
  std::vector<std::string> overrides_;
};

inline Path TinyRun::checkpoint(std::int64_t step) const {
  const std::string digits = std::to_string(step);
  return run() / "checkpoints" / ("step-" + std::string(8 - digits.size(), '0') + digits);
}

/// What must be bit-equal between two runs at one step: weights, moments, and the state without times and
/// machine.
inline std::string whole_state(const Path& checkpoint) {
  Json state = Json::parse(read_file(checkpoint / "trainer_state.json"), "trainer_state.json");
  state["seconds"] = nullptr;
  state["machine"] = nullptr;
  return read_file(checkpoint / "model.safetensors") + read_file(checkpoint / "optimizer.safetensors") +
         state.dump();
}

/// Kind of the Error that `body` throws, and its message; fails the test when it throws none.
template <typename Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("no error was thrown");
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace a48::test
