// A small configuration that is valid, and what loading it with other keys gives. For the tests of
// core/config.
#pragma once

#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/config/load.h"

namespace a48::test {

inline constexpr const char* kExample = R"({
  "model": {"vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
            "num_attention_heads": 3, "max_position_embeddings": 256},
  "stages": [{"mode": "a8", "until": 0.95}, {"mode": "a4.8", "until": 1.0}],
  "optim": {"learning_rate": 2e-3, "second_learning_rate": 1.3e-3, "min_lr": 4e-5, "warmup_steps": 50},
  "data": {"path": "corpora/kjv", "sequence_length": 256},
  "run": {"dir": "runs/tiny", "max_steps": 1000, "global_batch_size": 16}
})";

inline config::RunConfig example(const std::vector<std::string>& overrides = {}) {
  return config::load_text(kExample, "example.json", overrides);
}

/// The message of the Error(config) that the text gives; empty when it is accepted.
inline std::string problems_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    config::load_text(text, "file.json", overrides);
  } catch (const Error& error) {
    A48_ASSERT(error.kind() == ErrorKind::config, error.what());
    return error.what();
  }
  return "";
}

inline std::string problems_with(const std::vector<std::string>& overrides) {
  return problems_of(kExample, overrides);
}

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace a48::test
