// Counts over ternary codes and saved storages. Next: core/ops/saved_bytes.h.
#include "modules/telemetry.h"

#include "core/base/check.h"
#include "core/ops/saved_bytes.h"

namespace a48::nn {

TernaryHistogram histogram(const at::Tensor& codes) {
  const auto count = [&](int value) { return codes.eq(value).count_nonzero().item<std::int64_t>(); };
  return {count(-1), count(0), count(1)};
}

std::vector<Flips> flips(const std::vector<MatrixInfo>& before, const std::vector<MatrixInfo>& after) {
  A48_ASSERT(before.size() == after.size());
  std::vector<Flips> all;
  for (std::size_t i = 0; i < before.size(); ++i) {
    A48_ASSERT(before[i].name == after[i].name, before[i].name, after[i].name);
    const at::Tensor differs = before[i].codes.codes.ne(after[i].codes.codes);
    all.push_back({before[i].name, differs.count_nonzero().item<std::int64_t>(), differs.numel()});
  }
  return all;
}

std::vector<std::string> frozen_matrices(const std::vector<Flips>& flips) {
  std::vector<std::string> names;
  for (const Flips& matrix : flips) {
    if (matrix.flipped == 0) names.push_back(matrix.name);
  }
  return names;
}

SavedBytesReport measure_saved_bytes(BitNetForCausalLM& model, const at::Tensor& ids) {
  const at::AutoGradMode grad(true);
  const ops::SavedBytes counter;
  const at::Tensor loss = model->loss_sum(ids);
  const std::string parameters = "parameters";
  ops::note_saved(parameters, model->parameters());  // gains; a linear's weight has its own name
  SavedBytesReport report;
  report.by_name = counter.by_name();
  report.total = counter.total();
  for (const auto& [name, bytes] : report.by_name) {
    const bool weight = name.ends_with("/weight") || name == parameters;
    (weight ? report.weights : name == "head" ? report.head : report.activations) += bytes;
    if (name.ends_with("/input") || name.ends_with("/step")) report.linear_inputs += bytes;
  }
  return report;
}

}  // namespace a48::nn
