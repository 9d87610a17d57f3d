// The decode loop. Each step feeds one token per unfinished prompt and draws the next one from its row of
// logits. Next, for a packed model: decoder.cpp.
#include "core/runtime/generate.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/base/utf8.h"

namespace a48::runtime {
namespace {

constexpr std::uint64_t kSamplingSeed =
    stream_of("sampling");  // apart from the generators of data and initialisation
constexpr std::string_view kReplacement = "\uFFFD";

/// Bytes of tokens in, whole characters out; holds back an unfinished character and what may become a stop
/// string.
class TextStream {
 public:
  explicit TextStream(const std::vector<std::string>& stop) : stop_(stop) {}

  /// True when a stop string is complete.
  bool append(std::string_view bytes) {
    pending_ += bytes;
    move_characters(false);
    std::size_t cut = std::string::npos;
    for (const std::string& stop : stop_) cut = std::min(cut, held_.find(stop));
    if (cut == std::string::npos) return false;
    held_.resize(cut);
    return true;
  }

  /// Text that is settled; with `all`, everything.
  std::string take(bool all) {
    if (all) move_characters(true);
    const std::size_t length = held_.size() - (all ? 0 : possible_stop());
    std::string text = held_.substr(0, length);
    held_.erase(0, length);
    return text;
  }
  void drop_unfinished() { pending_.clear(); }

 private:
  void move_characters(bool all) {
    std::size_t at = 0;
    while (at < pending_.size()) {
      const int length = utf8_length(pending_, at);
      if (length < 0 && !all) break;
      if (length > 0) {
        held_.append(pending_, at, static_cast<std::size_t>(length));
        at += static_cast<std::size_t>(length);
      } else {
        held_ += kReplacement;
        ++at;
      }
    }
    pending_.erase(0, at);
  }

  /// Length of the longest end of the held text that begins a stop string.
  std::size_t possible_stop() const {
    std::size_t longest = 0;
    for (const std::string& stop : stop_)
      for (std::size_t n = std::min(stop.size(), held_.size()); n > longest; --n)
        if (held_.ends_with(std::string_view(stop).substr(0, n))) longest = n;
    return longest;
  }

  const std::vector<std::string>& stop_;
  std::string pending_, held_;
};

/// One prompt on its way.
struct Sequence {
  std::vector<std::int32_t> prompt;  // BOS first
  TextStream stream;
  bool finished = false;

  std::int64_t length(const Generated& result) const {
    return static_cast<std::int64_t>(prompt.size() + result.ids.size());
  }
};

class Batch {
 public:
  Batch(LanguageModel& model, const Tokenizer& tokenizer, std::span<const std::string> prompts,
        const GenerateOptions& options, const TextSink& sink)
      : model_(model), tokenizer_(tokenizer), options_(options), sink_(sink), results_(prompts.size()) {
    const std::int64_t context = model.info().max_positions;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      std::vector<std::int32_t> ids{tokenizer.bos_id()};
      const std::vector<std::int32_t> text = tokenizer.encode(prompts[i]);
      ids.insert(ids.end(), text.begin(), text.end());
      A48_CHECK(static_cast<std::int64_t>(ids.size()) <= context, ErrorKind::bad_input, "prompt ", i + 1,
                " has ", ids.size(), " tokens with its start token; the model's context has ", context,
                ". Shorten it");
      results_[i].prompt_tokens = static_cast<std::int64_t>(ids.size());
      sequences_.push_back({std::move(ids), TextStream(options.stop), false});
    }
  }

  /// Feeds the prompts; only their last tokens want logits.
  void prefill() {
    model_.start(static_cast<std::int32_t>(sequences_.size()));
    std::int64_t longest = 0;
    for (const Sequence& sequence : sequences_)
      longest = std::max(longest, static_cast<std::int64_t>(sequence.prompt.size()));
    model_.reserve(std::min(longest + options_.max_tokens, model_.info().max_positions));
    std::vector<TokenInput> inputs;
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      for (const std::int32_t id : sequences_[i].prompt)
        inputs.push_back({static_cast<std::int32_t>(i), id, false});
      inputs.back().wants_logits = true;
    }
    draw(model_.feed(inputs));
  }

  void step() {
    std::vector<TokenInput> inputs;
    for (std::size_t i = 0; i < sequences_.size(); ++i)
      if (!sequences_[i].finished)
        inputs.push_back({static_cast<std::int32_t>(i), results_[i].ids.back(), true});
    draw(model_.feed(inputs));
  }

  bool finished() const {
    return std::all_of(sequences_.begin(), sequences_.end(), [](const Sequence& s) { return s.finished; });
  }

  std::vector<Generated> take(bool interrupted) {
    for (std::size_t i = 0; i < sequences_.size(); ++i)
      if (interrupted && !sequences_[i].finished) finish(i, Finish::interrupted);
    return std::move(results_);
  }

 private:
  /// One row of logits per unfinished sequence, in order.
  void draw(Rows<const float> logits) {
    const auto choices = static_cast<std::size_t>(std::min(logits.cols, tokenizer_.vocab_size()));
    std::int64_t row = 0;
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].finished) continue;
      const auto position = static_cast<std::uint64_t>(sequences_[i].length(results_[i]));
      const double uniform =
          random_uniform(options_.seed + kSamplingSeed, options_.first_prompt + i, position);
      accept(i, sample({logits.row(row++), choices}, options_.sampler, uniform));
    }
  }

  void accept(std::size_t i, std::int32_t id) {
    Sequence& sequence = sequences_[i];
    Generated& result = results_[i];
    result.ids.push_back(id);
    if (id == tokenizer_.eos_id()) return finish(i, Finish::end_of_text);
    // The first word of a document carries a space that is not part of the text.
    const bool first_of_document = sequence.prompt.size() == 1 && result.ids.size() == 1;
    if (sequence.stream.append(first_of_document ? tokenizer_.decode({id}) : tokenizer_.bytes_of(id))) {
      sequence.stream.drop_unfinished();
      return finish(i, Finish::stop_string);
    }
    if (static_cast<std::int64_t>(result.ids.size()) >= options_.max_tokens)
      return finish(i, Finish::max_tokens);
    if (sequence.length(result) > model_.info().max_positions) return finish(i, Finish::context_full);
    emit(i, sequence.stream.take(false));
  }

  void finish(std::size_t i, Finish reason) {
    sequences_[i].finished = true;
    results_[i].finish = reason;
    emit(i, sequences_[i].stream.take(true));
  }

  void emit(std::size_t i, const std::string& text) {
    if (text.empty()) return;
    results_[i].text += text;
    if (sink_) sink_(i, text);
  }

  LanguageModel& model_;
  const Tokenizer& tokenizer_;
  const GenerateOptions& options_;
  const TextSink& sink_;
  std::vector<Sequence> sequences_;
  std::vector<Generated> results_;
};

}  // namespace

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::end_of_text:
      return "eos";
    case Finish::stop_string:
      return "stop";
    case Finish::max_tokens:
      return "length";
    case Finish::context_full:
      return "context";
    case Finish::interrupted:
      return "interrupted";
  }
  return "";
}

std::vector<Generated> generate(LanguageModel& model, const Tokenizer& tokenizer,
                                std::span<const std::string> prompts, const GenerateOptions& options,
                                const TextSink& sink, const std::function<bool()>& keep_going) {
  check_sampler(options.sampler);
  A48_CHECK(options.max_tokens >= 1, ErrorKind::config, "the number of new tokens is ", options.max_tokens,
            "; allowed are 1 and more");
  for (const std::string& stop : options.stop)
    A48_CHECK(!stop.empty(), ErrorKind::config, "a stop string is empty");
  if (prompts.empty()) return {};
  Batch batch(model, tokenizer, prompts, options, sink);
  batch.prefill();
  while (!batch.finished() && (!keep_going || keep_going())) batch.step();
  return batch.take(!batch.finished());
}

}  // namespace a48::runtime
