// Windows of the train split in the order of order.h, and evaluation pieces of the val split
// (formats.md 6.4).
#include "data/loader.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "data/order.h"

namespace a48::data {
namespace {

constexpr std::int64_t kMockWindows = std::int64_t{1} << 20;
constexpr std::uint64_t kMockStream = stream_of("data.mock");

/// Window starts of one shard with windows = bos. A window's end is where its last input stands plus one, as
/// with cut: the token after it is a label only, and may be the BOS that starts the next window.
void append_bos_windows(const Shard& shard, std::size_t index, std::int32_t bos, std::int64_t sequence,
                        std::vector<Span>& windows) {
  for (std::int64_t i = 0; i + sequence + 1 <= shard.tokens(); ++i) {
    if (shard.token(i) != static_cast<std::uint32_t>(bos)) continue;
    windows.push_back({index, i, sequence + 1});
    i += sequence - 1;
  }
}

/// A piece of a shard or document (its index), without the BOS in front.
struct PieceSpan {
  std::size_t source = 0;
  std::int64_t begin = 0, count = 0;
  bool starts_document = false;
};

/// Calls take(begin, length, is_first) for the pieces of `count` tokens.
template <typename Take>
void cut_document(std::int64_t count, std::int64_t scored, const Take& take) {
  for (std::int64_t begin = 0; begin < count; begin += scored)
    take(begin, std::min(scored, count - begin), begin == 0);
}

/// `count` tokens from `begin` of a shard on, without BOS; they go on in the shards behind it.
struct Document {
  std::size_t shard = 0;
  std::int64_t begin = 0, count = 0;
};

/// What stands before a shard's first BOS continues the document of the shard before. Where no shard has a
/// BOS, each is one document.
std::vector<Document> documents_of(const ShardSet& val) {
  std::vector<Document> documents, shards;
  bool bos_seen = false;
  for (std::size_t index = 0; index < val.shards.size(); ++index) {
    const Shard& shard = *val.shards[index];
    shards.push_back({index, 0, shard.tokens()});
    for (std::int64_t i = 0; i < shard.tokens(); ++i) {
      if (shard.token(i) == static_cast<std::uint32_t>(val.bos_id)) {
        bos_seen = true;
        documents.push_back({index, i + 1, 0});
        continue;
      }
      if (documents.empty()) documents.push_back({index, i, 0});
      ++documents.back().count;
    }
  }
  return bos_seen ? documents : shards;
}

/// The pieces of a split: `source` is the shard in which the piece's document begins.
std::vector<PieceSpan> piece_spans(const ShardSet& val, std::int64_t scored) {
  std::vector<PieceSpan> spans;
  for (const Document& document : documents_of(val))
    cut_document(document.count, scored, [&](std::int64_t from, std::int64_t length, bool first) {
      spans.push_back({document.shard, document.begin + from, length, first});
    });
  return spans;
}

/// The tokens of a piece, over the borders of shards.
std::vector<std::int64_t> read_piece(const ShardSet& val, const PieceSpan& span, std::int64_t vocab) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(span.count));
  std::int64_t begin = span.begin, done = 0;
  for (std::size_t shard = span.source; done < span.count; ++shard) {
    const std::int64_t tokens = val.shards[shard]->tokens();
    const std::int64_t here = std::clamp<std::int64_t>(tokens - begin, 0, span.count - done);
    if (here > 0) val.read(shard, begin, here, vocab, ids.data() + done);
    begin = std::max<std::int64_t>(begin - tokens, 0);
    done += here;
  }
  return ids;
}

/// `limit` of the items, evenly spaced: item i is number floor(i·n / limit).
std::vector<PieceSpan> evenly_spaced(const std::vector<PieceSpan>& all, std::int64_t limit) {
  const auto n = static_cast<std::int64_t>(all.size());
  if (limit <= 0 || limit >= n) return all;
  std::vector<PieceSpan> chosen;
  for (std::int64_t i = 0; i < limit; ++i) chosen.push_back(all[static_cast<std::size_t>(i * n / limit)]);
  return chosen;
}

std::int64_t scored_per_piece(std::int64_t sequence_length) {
  A48_CHECK(sequence_length >= 2, ErrorKind::config, "data.sequence_length is ", sequence_length,
            "; evaluation pieces need at least 2");
  return sequence_length - 1;
}

}  // namespace

Loader::Loader(const config::Data& data, std::int64_t vocab_size, std::uint64_t seed, std::int64_t bos_id)
    : kind_(data.kind), vocab_(vocab_size), sequence_(data.sequence_length), seed_(seed) {
  A48_CHECK(sequence_ >= 1, ErrorKind::config, "data.sequence_length is ", sequence_,
            "; allowed is 1 and more");
  if (kind_ == config::DataKind::mock) {
    windows_ = kMockWindows;
    return;
  }
  A48_CHECK(!data.path.empty(), ErrorKind::config,
            "data.path is empty; set it to a folder that `a48 prepare --out FOLDER TEXT…` has filled");
  shards_ = open_shards(data.path, data.train_glob, vocab_, bos_id);
  for (std::size_t i = 0; i < shards_.shards.size(); ++i) {
    if (data.windows == config::Windows::bos) {
      append_bos_windows(*shards_.shards[i], i, shards_.bos_id, sequence_, bos_windows_);
    } else {
      first_window_.push_back(windows_);
      windows_ += (shards_.shards[i]->tokens() - 1) / sequence_;
    }
  }
  if (data.windows == config::Windows::bos) windows_ = static_cast<std::int64_t>(bos_windows_.size());
  A48_CHECK(windows_ > 0, ErrorKind::bad_input, data.path, ": ", shards_.tokens,
            " training tokens hold no window of data.sequence_length + 1 = ", sequence_ + 1,
            " tokens; use more text or a shorter sequence");
}

std::string Loader::fingerprint() const {
  return kind_ == config::DataKind::mock ? "mock" : shards_.fingerprint;
}

Span Loader::span_of(std::int64_t window) const {
  if (kind_ == config::DataKind::mock) return {0, window * sequence_, sequence_ + 1};
  if (!bos_windows_.empty()) return bos_windows_[static_cast<std::size_t>(window)];
  const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), window);
  const auto shard = static_cast<std::size_t>(after - first_window_.begin()) - 1;
  return {shard, (window - first_window_[shard]) * sequence_, sequence_ + 1};
}

std::vector<Span> Loader::spans(std::uint64_t stream, std::int64_t consumed, std::int64_t count) const {
  std::vector<Span> spans;
  for (std::int64_t i = 0; i < count; ++i)
    spans.push_back(span_of(window_at(seed_, stream, consumed + i, windows_)));
  return spans;
}

void Loader::batch(std::uint64_t stream, std::int64_t consumed, std::int64_t count, std::int64_t* ids) const {
  for (const Span& span : spans(stream, consumed, count)) {
    if (kind_ == config::DataKind::mock) {
      for (std::int64_t i = 0; i < span.count; ++i)
        ids[i] = static_cast<std::int64_t>(
            random_bits(seed_, kMockStream, static_cast<std::uint64_t>(span.begin + i)) %
            static_cast<std::uint64_t>(vocab_));
    } else {
      shards_.read(span.shard, span.begin, span.count, vocab_, ids);
    }
    ids += span.count;
  }
}

std::int64_t EvaluationPieces::scored_tokens() const {
  std::int64_t total = 0;
  for (const auto& piece : ids) total += static_cast<std::int64_t>(piece.size()) - 1;
  return total;
}

EvaluationPieces evaluation_pieces(const ShardSet& val, std::int64_t sequence_length, std::int64_t vocab,
                                   std::int64_t limit) {
  EvaluationPieces pieces;
  for (const PieceSpan& span : evenly_spaced(piece_spans(val, scored_per_piece(sequence_length)), limit)) {
    std::vector<std::int32_t> ids{val.bos_id};
    for (const std::int64_t id : read_piece(val, span, vocab)) ids.push_back(static_cast<std::int32_t>(id));
    pieces.ids.push_back(std::move(ids));
    pieces.starts_document.push_back(span.starts_document);
  }
  return pieces;
}

EvaluationPieces pieces_of_documents(const std::vector<std::vector<std::int32_t>>& documents,
                                     std::int32_t bos_id, std::int64_t sequence_length, std::int64_t limit) {
  std::vector<PieceSpan> spans;
  for (std::size_t index = 0; index < documents.size(); ++index)
    cut_document(static_cast<std::int64_t>(documents[index].size()), scored_per_piece(sequence_length),
                 [&](std::int64_t from, std::int64_t length, bool first) {
                   spans.push_back({index, from, length, first});
                 });
  EvaluationPieces pieces;
  for (const PieceSpan& span : evenly_spaced(spans, limit)) {
    const auto begin = documents[span.source].begin() + span.begin;
    std::vector<std::int32_t> ids{bos_id};
    ids.insert(ids.end(), begin, begin + span.count);
    pieces.ids.push_back(std::move(ids));
    pieces.starts_document.push_back(span.starts_document);
  }
  return pieces;
}

std::int64_t scored_bytes(const EvaluationPieces& pieces, std::size_t piece,
                          const runtime::Tokenizer& tokenizer) {
  const std::vector<std::int32_t>& ids = pieces.ids.at(piece);
  std::int64_t bytes = 0;
  for (std::size_t i = 1; i < ids.size(); ++i) bytes += tokenizer.byte_length(ids[i]);
  if (!pieces.starts_document[piece] || ids.size() < 2) return bytes;
  // decode() of a document's first token leaves the dummy prefix out.
  return bytes - tokenizer.byte_length(ids[1]) + static_cast<std::int64_t>(tokenizer.decode({ids[1]}).size());
}

}  // namespace a48::data
