// A LanguageModel without weights, for tests of what is built on one: its logits are a pure function of the
// ids that a sequence holds, so that every wrong id, position or sequence shows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/runtime/model.h"

namespace a48::test {

class FakeModel : public runtime::LanguageModel {
 public:
  using Logit = std::function<float(const std::vector<std::int32_t>& history, std::int32_t id)>;

  FakeModel(std::int64_t vocab, std::int64_t context, Logit logit = {}) : logit_(std::move(logit)) {
    info_.vocab_size = vocab;
    info_.max_positions = context;
    info_.sequence_length = context;
    info_.mode = "fake";
    if (!logit_) logit_ = &FakeModel::noise;
  }

  /// Between −4 and 4, from a hash of the history and the id.
  static float noise(const std::vector<std::int32_t>& history, std::int32_t id) {
    std::uint64_t hash = 0;
    for (const std::int32_t token : history) hash = random_bits(hash, 1, static_cast<std::uint64_t>(token));
    return static_cast<float>(8.0 * random_uniform(hash, 2, static_cast<std::uint64_t>(id)) - 4.0);
  }

  const runtime::ModelInfo& info() const override { return info_; }
  void start(std::int32_t sequences) override { histories_.assign(static_cast<std::size_t>(sequences), {}); }
  Rows<const float> feed(std::span<const runtime::TokenInput> tokens) override {
    calls.push_back(tokens.size());
    logits_.clear();
    std::int64_t rows = 0;
    for (const runtime::TokenInput& token : tokens) {
      auto& history = histories_.at(static_cast<std::size_t>(token.sequence));
      A48_CHECK(static_cast<std::int64_t>(history.size()) < info_.max_positions, ErrorKind::bad_input,
                "context full");
      A48_CHECK(token.id >= 0 && token.id < info_.vocab_size, ErrorKind::bad_input, "id ", token.id);
      history.push_back(token.id);
      if (!token.wants_logits) continue;
      ++rows;
      for (std::int32_t id = 0; id < info_.vocab_size; ++id) logits_.push_back(logit_(history, id));
    }
    return {logits_.data(), rows, info_.vocab_size};
  }
  void reset_sparsity() override {}
  runtime::Sparsity sparsity() const override { return {}; }

  std::vector<std::size_t> calls;  // tokens of each feed

 private:
  Logit logit_;
  runtime::ModelInfo info_;
  std::vector<std::vector<std::int32_t>> histories_;
  std::vector<float> logits_;
};

}  // namespace a48::test
