// Text from prompts: prefill, decode, sample, stop; one batch for several prompts, streamed as whole UTF-8
// characters. Choosing a token: sampler.h; the model: model.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/runtime/model.h"
#include "core/runtime/sampler.h"
#include "core/runtime/tokenizer.h"

namespace a48::runtime {

struct GenerateOptions {
  std::int64_t max_tokens = 128;  // new ones
  SamplerOptions sampler;
  std::uint64_t seed = 1;
  std::uint64_t first_prompt =
      0;  // index of prompts[0] among all prompts: a batch equals its prompts run one by one
  std::vector<std::string> stop;  // text ends before the first of these
};

enum class Finish { end_of_text, stop_string, max_tokens, context_full, interrupted };
const char* finish_name(Finish finish);  // "eos", "stop", "length", "context", "interrupted"

struct Generated {
  std::int64_t prompt_tokens = 0;  // BOS included
  std::vector<std::int32_t> ids;   // new tokens; EOS, when it came, is the last
  std::string
      text;  // of the new tokens: valid UTF-8, bytes that are none as U+FFFD; cut before a stop string
  Finish finish = Finish::max_tokens;
};

/// New text of a prompt, in pieces that are whole characters; together they are Generated::text.
using TextSink = std::function<void(std::size_t prompt, std::string_view text)>;

/// BOS is put before each prompt. Token t of the sequence of prompt i is drawn with f(seed, first_prompt + i,
/// t) and from the tokenizer's vocabulary; the result is the same for the same seed, and does not depend on
/// the other prompts of the batch. `keep_going` is polled before each step. A prompt that leaves no room in
/// the context is Error(bad_input).
std::vector<Generated> generate(LanguageModel& model, const Tokenizer& tokenizer,
                                std::span<const std::string> prompts, const GenerateOptions& options,
                                const TextSink& sink = {}, const std::function<bool()>& keep_going = {});

}  // namespace a48::runtime
