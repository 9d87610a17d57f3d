// What tests of kernels and of their callers need: matrices whose padding must stay untouched, equality of
// bits, and a loop over the levels that this CPU has and over 1 to 4 threads.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/view.h"
#include "core/kernels/table.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/seed.h"

namespace a48::test {

/// Rows with 5 elements of padding each, and a row of padding before and after.
template <typename T>
class Matrix {
 public:
  Matrix(std::int64_t rows, std::int64_t cols)
      : rows_(rows),
        cols_(cols),
        stride_(cols + 5),
        data_(static_cast<std::size_t>((rows + 2) * stride_), kPadding) {}

  Rows<T> view() { return {data_.data() + stride_, rows_, cols_, stride_}; }
  Rows<const T> view() const { return {data_.data() + stride_, rows_, cols_, stride_}; }
  T* row(std::int64_t r) { return view().row(r); }
  const T* row(std::int64_t r) const { return view().row(r); }

  bool padding_untouched() const {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(data_.size()); ++i) {
      const std::int64_t r = i / stride_ - 1, k = i % stride_;
      const bool inside = r >= 0 && r < rows_ && k < cols_;
      if (!inside && data_[static_cast<std::size_t>(i)] != kPadding) return false;
    }
    return true;
  }

 private:
  static constexpr T kPadding = static_cast<T>(85);
  std::int64_t rows_, cols_, stride_;
  std::vector<T> data_;
};

/// The same bits; any NaN equals any other (which operand's payload survives is the processor's choice).
template <typename T>
bool same_bits(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) && std::isnan(b)) return true;
  }
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// "" when all elements have the same bits, else where the first difference is.
template <typename T>
std::string first_difference(const T* found, const T* expected, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k)
    if (!same_bits(found[k], expected[k]))
      return "element " + std::to_string(k) + ": " + std::to_string(found[k]) + ", expected " +
             std::to_string(expected[k]);
  return "";
}
template <typename T>
std::string first_difference(const std::vector<T>& found, const std::vector<T>& expected) {
  if (found.size() != expected.size()) return "sizes differ";
  return first_difference(found.data(), expected.data(), static_cast<std::int64_t>(found.size()));
}
template <typename T>
std::string first_difference(const Matrix<T>& found, const Matrix<T>& expected) {
  if (!found.padding_untouched()) return "written outside its rows";
  for (std::int64_t r = 0; r < expected.view().rows; ++r) {
    const std::string difference = first_difference(found.row(r), expected.row(r), expected.view().cols);
    if (!difference.empty()) return "row " + std::to_string(r) + ", " + difference;
  }
  return "";
}

/// Runs body() with api.h on every present level, with each of `threads` threads; prints the absent levels.
template <typename Body>
void on_every_level(Body body, int most_threads = 4) {
  const std::vector<IsaLevel> present = kernels::present_levels();
  for (int level = static_cast<int>(present.back()) + 1; level <= static_cast<int>(IsaLevel::avx512); ++level)
    std::printf("skipped: level %s is not present\n", isa_name(static_cast<IsaLevel>(level)));
  for (const IsaLevel level : present) {
    const kernels::ScopedLevel scoped(level);
    for (int threads = 1; threads <= most_threads; ++threads) {
      set_thread_count(threads);
      INFO("level " << isa_name(level) << ", threads " << threads);
      body();
    }
  }
  set_thread_count(0);
}

inline Matrix<float> matrix_of(RowKind kind, std::int64_t rows, std::int64_t cols, std::uint64_t salt = 0) {
  Matrix<float> x(rows, cols);
  for (std::int64_t r = 0; r < rows; ++r) fill_row(kind, x.row(r), cols, seed() + salt, r);
  return x;
}

/// One row of each kind.
inline Matrix<float> matrix_of_all_kinds(std::int64_t cols, std::uint64_t salt = 0) {
  Matrix<float> x(static_cast<std::int64_t>(kAllRows.size()), cols);
  for (std::size_t i = 0; i < kAllRows.size(); ++i) {
    const std::int64_t r = static_cast<std::int64_t>(i);
    fill_row(kAllRows[i], x.row(r), cols, seed() + salt, r);
  }
  return x;
}

}  // namespace a48::test
