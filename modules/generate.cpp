// BitNetForCausalLM::generate: ids in, new ids out, over the exact path. Texts: core/runtime/generate.h.
#include <memory>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "modules/causal_lm.h"
#include "modules/row_model.h"

namespace a48::nn {

std::vector<std::vector<std::int64_t>> BitNetForCausalLMImpl::generate(const at::Tensor& ids,
                                                                       const at::Tensor& mask,
                                                                       const GenerateOptions& options) {
  runtime::check_sampler(options.sampler);
  const TokenRows rows = model->rows_of(ids, mask);
  const at::Tensor real = gather_rows(ids, rows).to(torch::kCPU).contiguous();  // [R]
  RowModel language_model(
      BitNetForCausalLM(std::dynamic_pointer_cast<BitNetForCausalLMImpl>(shared_from_this())), slots(),
      "generate");
  language_model.start(static_cast<std::int32_t>(rows.batch));

  std::vector<runtime::TokenInput> feed;
  std::vector<std::int32_t> running;  // sequences whose next token is wanted, in the order of the logits
  for (std::int32_t b = 0; b < rows.batch; ++b) {
    const std::int64_t begin = rows.begin[static_cast<std::size_t>(b)];
    const std::int64_t end = rows.begin[static_cast<std::size_t>(b) + 1];
    A48_CHECK(end > begin, ErrorKind::config, "generate: sequence ", b, " has no token to start from");
    for (std::int64_t row = begin; row < end; ++row) {
      feed.push_back({b, static_cast<std::int32_t>(real.data_ptr<std::int64_t>()[row]), row + 1 == end});
    }
    running.push_back(b);
  }

  std::vector<std::vector<std::int64_t>> made(static_cast<std::size_t>(rows.batch));
  for (std::int64_t step = 0; step < options.max_new_tokens && !running.empty(); ++step) {
    const Rows<const float> logits = language_model.feed(feed);
    std::vector<std::int32_t> still_running;
    feed.clear();
    for (std::size_t i = 0; i < running.size(); ++i) {
      const std::int32_t b = running[i];
      const double uniform =
          random_uniform(options.seed, static_cast<std::uint64_t>(b), static_cast<std::uint64_t>(step));
      const std::int32_t id =
          runtime::sample({logits.row(static_cast<std::int64_t>(i)), static_cast<std::size_t>(logits.cols)},
                          options.sampler, uniform);
      made[static_cast<std::size_t>(b)].push_back(id);
      if (id == config().eos_token_id) continue;
      still_running.push_back(b);
      feed.push_back({b, id, true});
    }
    running = still_running;
  }
  return made;
}

}  // namespace a48::nn
