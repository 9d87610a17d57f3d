#include "tools/model_tokenizer.h"

#include "core/base/check.h"
#include "data/tokenizer.h"

namespace a48::tools {

std::unique_ptr<runtime::Tokenizer> tokenizer_of(const train::OpenedModel& opened) {
  if (!opened.tokenizer_path.empty()) return data::load_sentencepiece(opened.tokenizer_path);
  if (!opened.tokenizer_model.empty())
    return data::sentencepiece_of(opened.tokenizer_model, opened.checkpoint);
  return opened.tokenizer_kind == "bytes" ? data::byte_tokenizer() : nullptr;
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
