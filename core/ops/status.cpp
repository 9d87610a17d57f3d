// The record of the first non-finite finding.
#include "core/ops/status.h"

#include <ATen/ops/cat.h>

#include <mutex>
#include <utility>

#include "core/base/check.h"

namespace a48::ops {
namespace {

struct Record {
  std::mutex mutex;
  std::optional<std::string> what;
  std::int64_t row = -1;
  std::vector<WatchedStatus> watched;
};

Record& record() {
  static Record instance;
  return instance;
}

}  // namespace

void reset_non_finite() {
  const std::lock_guard lock(record().mutex);
  record().what.reset();
  record().row = -1;
  record().watched.clear();
}

namespace {

void keep_first(Record& to, const std::string& what, std::int64_t row) {
  if (to.what) return;
  to.what = row < 0 ? what : concat(what, ", row ", row);
  to.row = row;
}

at::Tensor flag_of(const Record& of) {
  if (of.watched.empty()) return {};
  std::vector<at::Tensor> all;
  for (const WatchedStatus& watched : of.watched) all.push_back(watched.status);
  return at::cat(all).any();
}

/// Waits for the device; what was watched is known then.
void look_at_watched(Record& of) {
  const at::Tensor flag = flag_of(of);
  if (!of.what && flag.defined() && flag.item<bool>()) {
    for (const WatchedStatus& watched : of.watched) {
      const at::Tensor bad = watched.status.nonzero();
      if (bad.numel() == 0) continue;
      keep_first(of, watched.what, watched.is_weight ? -1 : bad[0][0].item<std::int64_t>());
      break;
    }
  }
  of.watched.clear();
}

}  // namespace

std::optional<std::string> first_non_finite() {
  const std::lock_guard lock(record().mutex);
  look_at_watched(record());
  return record().what;
}

std::int64_t first_non_finite_row() {
  const std::lock_guard lock(record().mutex);
  look_at_watched(record());
  return record().row;
}

void report_non_finite(const std::string& what, std::int64_t row) {
  const std::lock_guard lock(record().mutex);
  keep_first(record(), what, row);
}

void watch_rows(const std::string& what, const at::Tensor& status) {
  const std::lock_guard lock(record().mutex);
  record().watched.push_back({what, status, false});
}

void watch_weight(const std::string& what, const at::Tensor& status) {
  const std::lock_guard lock(record().mutex);
  record().watched.push_back({what, status, true});
}

at::Tensor watched_flag() {
  const std::lock_guard lock(record().mutex);
  return flag_of(record());
}

NonFiniteScope::NonFiniteScope() {
  const std::lock_guard lock(record().mutex);
  outer_ = std::exchange(record().what, std::nullopt);
  outer_row_ = std::exchange(record().row, -1);
  outer_watched_ = std::exchange(record().watched, {});
}

NonFiniteScope::~NonFiniteScope() {
  const std::lock_guard lock(record().mutex);
  record().what = outer_;
  record().row = outer_row_;
  record().watched = outer_watched_;
}

}  // namespace a48::ops
