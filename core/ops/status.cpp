// The record of the first non-finite finding.
#include "core/ops/status.h"

#include <mutex>
#include <utility>

#include "core/base/check.h"

namespace a48::ops {
namespace {

struct Record {
  std::mutex mutex;
  std::optional<std::string> what;
  std::int64_t row = -1;
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
}

std::optional<std::string> first_non_finite() {
  const std::lock_guard lock(record().mutex);
  return record().what;
}

std::int64_t first_non_finite_row() {
  const std::lock_guard lock(record().mutex);
  return record().row;
}

void report_non_finite(const std::string& what, std::int64_t row) {
  const std::lock_guard lock(record().mutex);
  if (record().what) return;
  record().what = row < 0 ? what : concat(what, ", row ", row);
  record().row = row;
}

NonFiniteScope::NonFiniteScope() {
  const std::lock_guard lock(record().mutex);
  outer_ = std::exchange(record().what, std::nullopt);
  outer_row_ = std::exchange(record().row, -1);
}

NonFiniteScope::~NonFiniteScope() {
  const std::lock_guard lock(record().mutex);
  record().what = outer_;
  record().row = outer_row_;
}

}  // namespace a48::ops
