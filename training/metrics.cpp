#include "training/metrics.h"

#include <cmath>
#include <cstdio>

#include "training/cost.h"

namespace a48::train {
namespace {

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }
Json value_or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

}  // namespace

void Metrics::write(const char* kind, const Json& body) {
  if (!lines_) return;
  Json event = Json::object();
  event["event"] = kind;
  for (const auto& [key, value] : body.as_object()) event[key] = value;
  lines_->append(event.dump());
}

void Metrics::write(const StepRecord& step) {
  if (!lines_) return;
  Json body = Json::object();
  body["step"] = step.step;
  body["stage"] = step.stage;
  body["mode"] = step.mode;
  body["tokens"] = step.tokens;
  body["loss"] = finite_or_null(step.loss);
  body["lr"] = step.learning_rate;
  body["wd"] = step.weight_decay;
  body["grad_norm"] = finite_or_null(step.grad_norm);
  body["param_norm"] = finite_or_null(step.param_norm);
  body["tok_s"] = static_cast<double>(step.step_tokens) / step.seconds;
  body["step_ms"] = 1e3 * step.seconds;
  body["data_wait"] = step.data_seconds / step.seconds;
  body["mfu"] = value_or_null(step.mfu);
  body["sol"] = value_or_null(step.sol);
  body["mem_bytes"] = step.memory_bytes;
  body["rejected"] = step.rejected;
  body["z_loss"] = value_or_null(step.scores.loss);
  body["z_norm"] = value_or_null(step.scores.norm);
  if (!step.state_hash.empty()) body["state_hash"] = step.state_hash;
  write("step", body);
}

void Meter::add(const StepRecord& step) {
  ++steps_;
  tokens_ += step.step_tokens;
  seconds_ += step.seconds;
  data_seconds_ += step.data_seconds;
  mfu_seconds_ += step.mfu.value_or(0.0) * step.seconds;
  sol_seconds_ += step.sol.value_or(0.0) * step.seconds;
}

namespace {

std::string percent(const std::optional<double>& of_step, double share) {
  if (!of_step) return "n/a";
  char text[16];
  std::snprintf(text, sizeof text, "%.1f%%", 100.0 * share);
  return text;
}

}  // namespace

std::string Meter::line(const StepRecord& last, double eta) {
  char text[256];
  std::snprintf(
      text, sizeof text,
      "step %lld/%lld %s | loss %.4f | lr %.3g wd %.3g | gnorm %.3g | %s tok/s | MFU %s SOL %s | mem %s | "
      "data %.1f%% | eta %s",
      static_cast<long long>(last.step), static_cast<long long>(max_steps_), last.mode.c_str(), last.loss,
      last.learning_rate, last.weight_decay, last.grad_norm,
      short_number(static_cast<double>(tokens_) / seconds_).c_str(),
      percent(last.mfu, mfu_seconds_ / seconds_).c_str(), percent(last.sol, sol_seconds_ / seconds_).c_str(),
      short_number(static_cast<double>(last.memory_bytes)).c_str(), 100.0 * data_seconds_ / seconds_,
      clock_time(eta).c_str());
  *this = Meter(max_steps_);
  return text;
}

}  // namespace a48::train
