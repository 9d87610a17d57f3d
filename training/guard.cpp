#include "training/guard.h"

#include <cmath>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/ops/status.h"

namespace a48::train {
namespace {

std::optional<double> score(const std::vector<double>& window, double value) {
  if (window.size() < kLeastForScore) return std::nullopt;
  const double count = static_cast<double>(window.size());
  double mean = 0.0, square = 0.0;
  for (const double x : window) mean += x / count;
  for (const double x : window) square += (x - mean) * (x - mean) / count;
  if (square == 0.0) return std::nullopt;
  return (value - mean) / std::sqrt(square);
}

void push(std::vector<double>& window, double value) {
  if (window.size() == kWindow) window.erase(window.begin());
  window.push_back(value);
}

bool all_finite(const at::Tensor& tensor) { return at::isfinite(tensor).all().item<bool>(); }

/// JSON has no NaN or Inf: they are written as words.
Json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

}  // namespace

at::Tensor rejection_flag(const at::Tensor& loss, const at::Tensor& norm, const at::Tensor& weight_norm) {
  at::Tensor finite =
      at::isfinite(loss).logical_and(at::isfinite(norm)).logical_and(at::isfinite(weight_norm));
  if (const at::Tensor bad = ops::watched_flag(); bad.defined()) {
    finite = finite.logical_and(bad.logical_not());  // stays on the device
  } else if (ops::first_non_finite()) {
    finite = at::zeros_like(finite);
  }
  return finite.logical_not().to(at::kFloat);
}

std::string rejection_reason(double loss, double norm) {
  if (const std::optional<std::string> place = ops::first_non_finite())
    return "non-finite value at " + *place;
  if (!std::isfinite(loss)) return concat("loss is ", loss);
  if (!std::isfinite(norm)) return concat("gradient norm is ", norm);
  return "a weight is not finite";
}

Scores note_applied(GuardState& state, double loss, double norm) {
  const Scores scores{score(state.losses, loss), score(state.norms, norm)};
  push(state.losses, loss);
  push(state.norms, norm);
  state.in_a_row = 0;
  return scores;
}

void note_rejected(GuardState& state, const RejectedStep& step, const AdamW& optimizer, const Path& folder) {
  ++state.rejected;
  ++state.in_a_row;
  std::string where;
  if (state.rejected == 1) {
    const Path dump = folder / concat("rejected-step-", step.step, ".json");
    write_file(dump, rejection_dump(step, optimizer).dump(2) + "\n");
    where = "; details in " + dump.string();
  }
  log::warning(concat("step ", step.step, " rejected: ", step.reason, "; nothing was updated (",
                      state.in_a_row, " in a row)", where));
  A48_CHECK(state.in_a_row < kMostInARow, ErrorKind::not_finite, "training stopped: ", kMostInARow,
            " steps in a row were rejected, the last one, step ", step.step, ", because ", step.reason,
            ". The last checkpoint holds finite weights; a lower optim.learning_rate or a longer "
            "optim.warmup_steps may help.");
}

Json rejection_dump(const RejectedStep& step, const AdamW& optimizer) {
  Json dump = Json::object();
  dump["step"] = step.step;
  dump["reason"] = step.reason;
  dump["stream"] = step.stream;
  dump["consumed"] = step.consumed;
  dump["sequences"] = step.sequences;
  // Forward passes run from the first tensor to the last, backward ones from the last to the first: the first
  // bad weight, else the last bad gradient, stands nearest to the origin.
  std::string bad_weight, bad_gradient;
  Json tensors = Json::object();
  for (const auto& [name, weight] : optimizer.parameters()) {
    Json entry = Json::object();
    entry["weight_norm"] = number(at::linalg_vector_norm(weight).item<double>());
    if (bad_weight.empty() && !all_finite(weight)) bad_weight = name;
    if (weight.grad().defined()) {
      entry["gradient_norm"] = number(at::linalg_vector_norm(weight.grad()).item<double>());
      if (!all_finite(weight.grad())) bad_gradient = name;
    }
    tensors[name] = entry;
  }
  const std::optional<std::string> place = ops::first_non_finite();
  dump["first_bad"] = !bad_weight.empty() ? bad_weight : place ? *place : bad_gradient;
  dump["tensors"] = tensors;
  return dump;
}

}  // namespace a48::train
