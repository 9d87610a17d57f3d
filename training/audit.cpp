// Which tokens a step read: the answer to `a48 inspect RUN --step N` (training.md D6).
#include "core/base/check.h"
#include "core/ops/torch_errors.h"
#include "data/loader.h"
#include "training/checkpoint.h"
#include "training/stages.h"
#include "training/trainer.h"

namespace a48::train {
namespace {

/// Positions are a function of configuration and step as long as the stages keep their ends.
Json spans_at(const std::string& run, std::int64_t step) {
  const Checkpoint checkpoint = find_checkpoint(run);
  const config::RunConfig& config = checkpoint.config;
  A48_CHECK(step >= 1 && step <= config.run.max_steps, ErrorKind::config, "step ", step,
            ": the run has steps 1 to ", config.run.max_steps);
  const std::size_t stage = config::stage_at(config, step - 1);
  const std::vector<std::uint64_t> streams = streams_of(config);
  std::size_t first = stage;  // of this stream
  while (first > 0 && streams[first - 1] == streams[stage]) --first;
  const std::int64_t begin = first == 0 ? 0 : config::stage_end(config, first - 1);
  const std::int64_t sequences = config.run.global_batch_size, consumed = (step - 1 - begin) * sequences;
  const data::Loader loader(config.stages[stage].data, config.model.vocab_size,
                            static_cast<std::uint64_t>(config.run.seed), config.model.bos_token_id);
  Json spans = Json::array();
  for (const data::Span& span : loader.spans(streams[stage], consumed, sequences)) {
    Json entry = Json::object();
    const bool mock = config.stages[stage].data.kind == config::DataKind::mock;
    entry["file"] = mock ? Json() : Json(loader.shards().shards[span.shard]->path().string());
    entry["begin"] = span.begin;
    entry["count"] = span.count;
    spans.push_back(entry);
  }
  Json result = Json::object();
  result["step"] = step;
  result["stage"] = static_cast<std::int64_t>(stage);
  result["stream"] = streams[stage];
  result["consumed"] = consumed;
  result["spans"] = spans;
  return result;
}

}  // namespace

Json data_read_at(const std::string& run, std::int64_t step) {
  return ops::with_torch_errors([&] { return spans_at(run, step); });
}

}  // namespace a48::train
