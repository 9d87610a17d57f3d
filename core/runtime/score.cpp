// Feeds pieces in groups and turns each row of logits into one log-probability, in fp64.
#include "core/runtime/score.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"

namespace a48::runtime {
namespace {

constexpr std::int64_t kMaxLogits = std::int64_t{1} << 24;  // floats that one call of feed may return: 64 MB

double log_probability(const float* logits, std::int64_t vocab, std::int32_t id) {
  double highest = logits[0];
  for (std::int64_t v = 1; v < vocab; ++v) highest = std::max(highest, static_cast<double>(logits[v]));
  double sum = 0.0;
  for (std::int64_t v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(logits[v]) - highest);
  return static_cast<double>(logits[id]) - (highest + std::log(sum));
}

/// Scores pieces [begin, end) as sequences of one start(), and hands them to the sink in order.
void score_group(LanguageModel& model, std::span<const Piece> pieces, std::size_t begin, std::size_t end,
                 std::int64_t tokens_per_call, const PieceSink& sink) {
  const std::int64_t vocab = model.info().vocab_size;
  std::vector<TokenInput> inputs;     // all but the last token of each piece
  std::vector<std::int32_t> targets;  // what follows each input
  for (std::size_t p = begin; p < end; ++p)
    for (std::size_t i = 0; i + 1 < pieces[p].size(); ++i) {
      inputs.push_back({static_cast<std::int32_t>(p - begin), pieces[p][i], true});
      targets.push_back(pieces[p][i + 1]);
      A48_CHECK(targets.back() >= 0 && targets.back() < vocab, ErrorKind::bad_input, "token ", i + 1,
                " of piece ", p, " is the id ", targets.back(), "; the model's vocabulary has ", vocab,
                " entries");
    }

  model.start(static_cast<std::int32_t>(end - begin));
  std::vector<double> logprobs(inputs.size());
  const auto slice =
      static_cast<std::size_t>(std::clamp<std::int64_t>(kMaxLogits / vocab, 1, tokens_per_call));
  for (std::size_t first = 0; first < inputs.size(); first += slice) {
    const std::size_t count = std::min(slice, inputs.size() - first);
    const Rows<const float> logits = model.feed(std::span(inputs).subspan(first, count));
    A48_ASSERT(logits.rows == static_cast<std::int64_t>(count) && logits.cols == vocab, logits.rows, " × ",
               logits.cols);
    parallel_for(logits.rows, 8, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t r = from; r < to; ++r) {
        const std::size_t at = first + static_cast<std::size_t>(r);
        logprobs[at] = log_probability(logits.row(r), vocab, targets[at]);
      }
    });
  }

  std::size_t offset = 0;
  for (std::size_t p = begin; p < end; ++p) {
    const std::size_t count = pieces[p].empty() ? 0 : pieces[p].size() - 1;
    sink(p, std::span<const double>(logprobs).subspan(offset, count));
    offset += count;
  }
}

}  // namespace

std::size_t score_pieces(LanguageModel& model, std::span<const Piece> pieces, const PieceSink& sink,
                         std::int64_t tokens_per_call, const std::function<bool()>& keep_going) {
  std::size_t begin = 0;
  while (begin < pieces.size() && (!keep_going || keep_going())) {
    std::size_t end = begin;
    std::int64_t tokens = 0;
    while (end < pieces.size() &&
           (end == begin || tokens + static_cast<std::int64_t>(pieces[end].size()) <= tokens_per_call))
      tokens += static_cast<std::int64_t>(pieces[end++].size());
    score_group(model, pieces, begin, end, tokens_per_call, sink);
    begin = end;
  }
  return begin;
}

double Totals::nll_per_token() const { return nll / static_cast<double>(tokens); }
double Totals::perplexity() const { return std::exp(nll_per_token()); }
double Totals::bits_per_byte() const { return nll / (std::log(2.0) * static_cast<double>(bytes)); }

}  // namespace a48::runtime
