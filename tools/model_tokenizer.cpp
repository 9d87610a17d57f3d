#include "tools/model_tokenizer.h"

#include "core/base/check.h"
#include "data/tokenizer.h"

namespace a48::tools {
namespace {

/// Each id that the tokenizer gives must have a row of the model's embedding.
void demand_rows(const runtime::Tokenizer& tokenizer, std::int64_t vocab_size, const std::string& source) {
  A48_CHECK(tokenizer.vocab_size() <= vocab_size, ErrorKind::bad_input, source, ": its tokenizer has ",
            tokenizer.vocab_size(), " pieces, its model a vocabulary of ", vocab_size,
            "; they do not belong together");
}

}  // namespace

std::unique_ptr<runtime::Tokenizer> tokenizer_of(const train::OpenedModel& opened) {
  std::unique_ptr<runtime::Tokenizer> tokenizer;
  if (!opened.tokenizer_path.empty())
    tokenizer = data::load_sentencepiece(opened.tokenizer_path);
  else if (!opened.tokenizer_model.empty())
    tokenizer = data::sentencepiece_of(opened.tokenizer_model, opened.checkpoint);
  else if (opened.tokenizer_kind == "bytes")
    tokenizer = data::byte_tokenizer();
  if (tokenizer != nullptr) demand_rows(*tokenizer, opened.model->info().vocab_size, opened.checkpoint);
  return tokenizer;
}

void check_tokenizer(const runtime::PackedModel& packed) {
  if (packed.tokenizer_kind() == "none") return;
  const auto tokenizer = packed.tokenizer_kind() == "bytes"
                             ? data::byte_tokenizer()
                             : data::sentencepiece_of(std::string(packed.tokenizer_model()), packed.source());
  demand_rows(*tokenizer, packed.model().vocab_size, packed.source());
}

std::unique_ptr<runtime::Tokenizer> demand_tokenizer(const train::OpenedModel& opened) {
  auto tokenizer = tokenizer_of(opened);
  A48_CHECK(
      tokenizer != nullptr, ErrorKind::bad_input, opened.checkpoint, ": holds no ", data::kTokenizerFile,
      ", and was not trained on the byte tokenizer: text and its ids cannot be turned into each other. "
      "Train on shards that name their tokenizer, as `a48 prepare` makes them; shards of the same ids can "
      "be scored with `a48 eval --data DIR`");
  return tokenizer;
}

}  // namespace a48::tools
