// `a48 bench ceilings` and `a48 bench kernels`: what this machine can do, and what the ternary kernels make
// of it (kernels.md 3, 8). A kernel is timed in turn with a memory read, so that a change of the machine's
// speed hits both; its result is compared with the reference before any time is printed. Next:
// core/kernels/ceilings.h, core/kernels/cpu/gemv_ternary.cpp.
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iterator>
#include <utility>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/json.h"
#include "core/base/parallel.h"
#include "core/base/quartiles.h"
#include "core/base/rng.h"
#include "core/kernels/api.h"
#include "core/kernels/ceilings.h"
#include "core/kernels/table.h"
#include "core/quant/math.h"
#include "core/quant/reference.h"
#include "tools/commands.h"
#include "tools/memory_read.h"

namespace a48::tools {
namespace {

using Clock = std::chrono::steady_clock;
using quant::Scheme;
using quant::TernaryLayout;

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kStreamBytes = 1024 * kMiB;  // far beyond every cache
constexpr std::int64_t kColdBytes = 160 * kMiB;     // that a rotation touches: over four times a 32 MiB cache
constexpr std::int64_t kMostCopyBytes = 1536 * kMiB;

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Zeroed memory in pages of 2 MiB, where the system grants them, or of 4 KiB as a mapped file has: the
/// second kind measures address translation too.
class Pages {
 public:
  Pages() = default;
  Pages(std::int64_t bytes, bool large) : bytes_(static_cast<std::size_t>(bytes)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    A48_CHECK(data_ != MAP_FAILED, ErrorKind::no_resources, "no memory for ", bytes, " bytes of weights");
    madvise(data_, bytes_, large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (bytes_ > 0) munmap(data_, bytes_);
  }
  std::uint8_t* data() const { return static_cast<std::uint8_t*>(data_); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

Json machine() {
  return Json::Object{{"cpu", cpu_name()}, {"isa", isa_name(active_isa())}, {"cores", physical_cores()}};
}

/// What one machine can do with `threads` threads. GB/s, and multiply-adds per second / 1e9.
class Ceilings {
 public:
  Ceilings() : loops_(kernels::ceiling_loops(active_isa())), memory_(kStreamBytes) {}

  /// Reads the next `bytes` of the stream, shared out over the threads.
  double read_rate(std::int64_t bytes) { return memory_.rate(bytes); }
  double cached_rate() {  // 8 MiB a thread: beyond the second-level cache
    const std::int64_t bytes = 8 * kMiB * thread_count();
    double time = 0.0;
    for (int i = 0; i < 4; ++i) time += memory_.seconds(memory_.data(), bytes);
    return 4.0 * static_cast<double>(bytes) / time * 1e-9;
  }
  double product_rate() {
    constexpr std::int64_t kRounds = 50000;
    const double time = on_each_thread([&] { check_sum(loops_.multiply_add(kRounds)); });
    return static_cast<double>(kRounds * loops_.products_a_round * thread_count()) / time * 1e-9;
  }
  double unpack_rate() {  // packed bytes
    constexpr std::int64_t kRow = 1536, kTimes = 1000;
    const double time = on_each_thread([&] {
      for (int i = 0; i < kTimes; ++i)
        check_sum(loops_.unpack(memory_.data(), reinterpret_cast<const std::int8_t*>(memory_.data()), kRow));
    });
    return static_cast<double>(kRow * kTimes * thread_count()) / time * 1e-9;
  }

 private:
  double on_each_thread(const std::function<void()>& work) {
    return seconds_of([&] { parallel_for(thread_count(), 1, [&](std::int64_t, std::int64_t) { work(); }); });
  }
  /// Keeps a loop whose result nobody needs.
  static void check_sum(std::int64_t sum) { asm volatile("" : : "r"(sum)); }

  const kernels::CeilingLoops& loops_;
  MemoryRead memory_;
};

struct CeilingRow {
  const char* name;
  const char* unit;
  double (*measure)(Ceilings&);
};
constexpr CeilingRow kCeilings[] = {
    {"memory_read", "GB/s", [](Ceilings& c) { return c.read_rate(8 * kMiB * thread_count()); }},
    {"l3_read", "GB/s", [](Ceilings& c) { return c.cached_rate(); }},
    {"int8_multiply_add", "GMAC/s", [](Ceilings& c) { return c.product_rate(); }},
    {"unpack_2bit_l1", "GB/s", [](Ceilings& c) { return c.unpack_rate(); }},
};

/// {threads: {name: {median, q1, q3, unit}}}
Json measure_ceilings(Ceilings& ceilings, const std::vector<int>& threads, int reps) {
  Json result = Json::object();
  for (const int count : threads) {
    set_thread_count(count);
    Json of_count = Json::object();
    for (const CeilingRow& row : kCeilings) {
      std::vector<double> rates;
      for (int i = 0; i < reps; ++i) rates.push_back(row.measure(ceilings));
      of_count[row.name] = Quartiles(rates).json();
      of_count[row.name]["unit"] = row.unit;
    }
    result[std::to_string(thread_count())] = of_count;
  }
  set_thread_count(0);
  return result;
}

void print_ceilings(const Json& ceilings) {
  std::printf("%s, level %s\n", cpu_name().c_str(), isa_name(active_isa()));
  std::printf("%-20s %8s %10s %17s\n", "ceiling", "threads", "median", "quartiles");
  for (const auto& [threads, rows] : ceilings.as_object())
    for (const auto& [name, row] : rows.as_object())
      std::printf("%-20s %8s %10.1f %8.1f-%8.1f %s\n", name.c_str(), threads.c_str(),
                  row.at("median").as_double(), row.at("q1").as_double(), row.at("q3").as_double(),
                  row.at("unit").as_string().c_str());
}

/// The shapes that rivals are measured at (kernels.md 2).
struct Shape {
  const char* name;
  std::int64_t hidden, feed_forward;
};
constexpr Shape kShapes[] = {{"700M", 1536, 4096}, {"2B", 2560, 6912}};

enum class Product { rows4, rows_dense, rows_listed, columns, batch };

/// One line of the table: a product [outputs, inputs] and how much of it is touched.
struct Case {
  const char* name;
  Product product;
  bool down;  // [D, F]; else [F, D]
  Scheme scheme;
  double density = 1.0;     // of listed rows, or of inputs with a code
  std::int64_t tokens = 1;  // of a batch
};
constexpr Case kCases[] = {
    {"gate row4 int4", Product::rows4, false, Scheme::int4},
    {"gate row4 int8", Product::rows4, false, Scheme::int8},
    {"up rows int4 100 %", Product::rows_dense, false, Scheme::int4},
    {"up rows int4 38 %", Product::rows_listed, false, Scheme::int4, 0.38},
    {"down dense int8", Product::rows_dense, true, Scheme::int8},
    {"down columns 100 %", Product::columns, true, Scheme::int8, 1.0},
    {"down columns 50 %", Product::columns, true, Scheme::int8, 0.5},
    {"down columns 19 %", Product::columns, true, Scheme::int8, 0.19},
    {"down columns 14 %", Product::columns, true, Scheme::int8, 0.144},
    {"gate batch 64", Product::batch, false, Scheme::int4, 1.0, 64},
    {"gate batch 512", Product::batch, false, Scheme::int4, 1.0, 512},
    {"down batch 512 int8", Product::batch, true, Scheme::int8, 1.0, 512},
};

TernaryLayout layout_of(const Case& c) {
  if (c.product == Product::rows4) return TernaryLayout::t2_row4;
  if (c.product == Product::batch) return c.down ? TernaryLayout::t2_col : TernaryLayout::t2_row4;
  return c.product == Product::columns ? TernaryLayout::t2_col : TernaryLayout::t2_row;
}

/// Where the weights of a product are: cold in pages of either size, or in the last-level cache.
enum class Memory { cold, cold_4k, cached };
constexpr const char* name_of(Memory memory) {
  return memory == Memory::cold ? "cold" : (memory == Memory::cold_4k ? "cold4K" : "cached");
}

/// A matrix in as many copies as a rotation needs, and the tokens that meet it.
class Workload {
 public:
  Workload(const Case& c, std::int64_t outputs, std::int64_t inputs, Memory memory)
      : case_(c),
        outputs_(outputs),
        inputs_(inputs),
        stride_((inputs + kernels::kCodePadding - 1) / kernels::kCodePadding * kernels::kCodePadding),
        weight_(outputs * inputs),
        codes_(c.tokens * stride_),
        step_(c.tokens),
        code_sum_(c.tokens),
        column_(std::max(inputs, outputs) + 8),
        sums_(thread_count() * ((outputs + 255) / 256 * 256)),
        y_(c.tokens * outputs) {
    const TernaryLayout layout = layout_of(c);
    const std::int64_t rows = quant::stored_rows(layout, outputs, inputs);
    const std::int64_t bytes = quant::stored_row_bytes(layout, outputs, inputs);
    const double touched = static_cast<double>(rows * bytes) * c.density;
    copies_ = memory == Memory::cached
                  ? 1
                  : std::clamp<std::int64_t>(static_cast<std::int64_t>(kColdBytes / touched) + 1, 1,
                                             kMostCopyBytes / (rows * bytes));
    fill();
    packed_ = Pages(copies_ * rows * bytes, memory != Memory::cold_4k);
    matrix_ = {layout, outputs, inputs, {packed_.data(), rows, bytes}, 0.02f};
    quant::reference_pack_ternary(layout, {weight_.data(), outputs, inputs}, {packed_.data(), rows, bytes});
    for (std::int64_t i = 1; i < copies_; ++i)
      std::memcpy(packed_.data() + i * rows * bytes, packed_.data(), static_cast<std::size_t>(rows * bytes));
  }

  /// The product with the next copy.
  void run() {
    kernels::TernaryMatrix matrix = matrix_;
    matrix.packed.data = packed_.data() + next_ * matrix.packed.rows * matrix.packed.cols;
    next_ = next_ + 1 < copies_ ? next_ + 1 : 0;
    const kernels::TokenCodes token{codes_.data(), quant::row_of(case_.scheme).max_magnitude, step_[0],
                                    code_sum_[0]};
    float* y = y_.data();
    switch (case_.product) {
      case Product::rows4:
      case Product::rows_dense:
        return kernels::gemv_ternary({token, &matrix, &y, 1});
      case Product::rows_listed:
        return kernels::gemv_ternary_rows(
            {token, matrix, listed_.data(), static_cast<std::int64_t>(listed_.size()), y});
      case Product::columns:
        kernels::gemv_ternary_columns(
            {token, matrix, column_.data(), sums_.rows(thread_count(), sums_.size() / thread_count()), y});
        return;
      case Product::batch:
        return kernels::gemm_ternary({{codes_.data(), case_.tokens, inputs_, stride_},
                                      token.max_magnitude,
                                      step_.data(),
                                      code_sum_.data(),
                                      {},
                                      0.0f,
                                      {y, case_.tokens, outputs_},
                                      &matrix});
    }
  }

  /// Some outputs of the last run against sums in int64.
  void check() const {
    for (std::int64_t i = 0; i < 64; ++i) {
      const std::int64_t r = i % case_.tokens;
      std::int64_t n = i * 997 % outputs_;
      if (case_.product == Product::rows_listed) n = listed_[static_cast<std::size_t>(n) % listed_.size()];
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < inputs_; ++k) sum += codes_[r * stride_ + k] * weight_[n * inputs_ + k];
      const float expected = quant::epilogue(static_cast<std::int32_t>(sum), step_[r], matrix_.alpha);
      A48_CHECK(std::memcmp(&expected, y_.data() + r * outputs_ + n, sizeof expected) == 0,
                ErrorKind::internal, case_.name, ": output ", n, " of token ", r, " is ",
                y_[r * outputs_ + n], ", the reference says ", expected);
    }
  }

  std::int64_t copies() const { return copies_; }
  double bytes_touched() const {
    return share_ * static_cast<double>(matrix_.packed.rows * matrix_.packed.cols);
  }
  double products() const { return share_ * static_cast<double>(case_.tokens * outputs_ * inputs_); }

 private:
  void fill() {
    const int magnitude = quant::row_of(case_.scheme).max_magnitude;
    const auto bits = [](std::uint64_t stream, std::int64_t i) {
      return random_bits(stream_of("bench"), stream, static_cast<std::uint64_t>(i));
    };
    const auto chosen = [](std::uint64_t random, double share) {
      return static_cast<double>(random >> 11) < share * static_cast<double>(1ull << 53);
    };
    for (std::int64_t i = 0; i < weight_.size(); ++i) {
      const std::uint64_t third = bits(0, i / 16) >> (4 * (i % 16)) & 15;
      weight_[i] = static_cast<std::int8_t>(static_cast<int>(third % 3) - 1);
    }
    std::int64_t not_zero = 0;
    const double density = case_.product == Product::columns ? case_.density : 1.0;
    for (std::int64_t r = 0; r < case_.tokens; ++r) {
      step_[r] = 0.01f;
      for (std::int64_t k = 0; k < inputs_; ++k) {
        const std::uint64_t random = bits(1, r * inputs_ + k);
        const int code = 1 + static_cast<int>(random % static_cast<std::uint64_t>(magnitude));
        if (!chosen(random, density)) continue;
        codes_[r * stride_ + k] = static_cast<std::int8_t>((random >> 9 & 1) != 0 ? code : -code);
        code_sum_[r] += codes_[r * stride_ + k];
        ++not_zero;
      }
    }
    for (std::int64_t n = 0; n < outputs_; ++n)
      if (chosen(bits(2, n), case_.density)) listed_.push_back(static_cast<std::int32_t>(n));
    share_ = case_.product == Product::columns ? static_cast<double>(not_zero) / static_cast<double>(inputs_)
             : case_.product == Product::rows_listed
                 ? static_cast<double>(listed_.size()) / static_cast<double>(outputs_)
                 : 1.0;
  }

  const Case& case_;
  std::int64_t outputs_, inputs_, stride_;
  Buffer<std::int8_t> weight_, codes_;
  Buffer<float> step_;
  Buffer<std::int32_t> code_sum_, column_, sums_;
  Buffer<float> y_;
  std::vector<std::int32_t> listed_;
  Pages packed_;
  kernels::TernaryMatrix matrix_;
  std::int64_t copies_ = 1, next_ = 0;
  double share_ = 1.0;
};

/// One line: the kernel and a memory read in turn.
Json measure(Ceilings& ceilings, const Case& c, std::int64_t outputs, std::int64_t inputs, Memory memory,
             int reps) {
  Workload work(c, outputs, inputs, memory);
  work.run();
  work.check();
  // A repetition takes about half a millisecond or more, so that the clock and one interruption weigh little.
  const double once = seconds_of([&] { work.run(); });
  const std::int64_t calls = std::clamp<std::int64_t>(static_cast<std::int64_t>(5e-4 / once), 1, 100);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(work.copies(), 64); ++i) work.run();
  std::vector<double> time, share, read;
  for (int i = 0; i < reps; ++i) {
    const double rate = ceilings.read_rate(8 * kMiB * thread_count());
    if (memory == Memory::cached) work.run();  // the read has emptied the caches
    time.push_back(seconds_of([&] {
                     for (std::int64_t call = 0; call < calls; ++call) work.run();
                   }) /
                   static_cast<double>(calls));
    read.push_back(rate);
    share.push_back(work.bytes_touched() / time.back() * 1e-9 / rate);
  }
  work.check();
  const Quartiles seconds(time);
  Json line = Json::Object{{"product", c.name},
                           {"outputs", outputs},
                           {"inputs", inputs},
                           {"threads", thread_count()},
                           {"memory", name_of(memory)},
                           {"copies", work.copies()},
                           {"bytes", work.bytes_touched()},
                           {"gb_per_s", work.bytes_touched() / seconds.median * 1e-9},
                           {"gmac_per_s", work.products() / seconds.median * 1e-9}};
  Json microseconds = Json::object();
  microseconds["median"] = seconds.median * 1e6;
  microseconds["q1"] = seconds.q1 * 1e6;
  microseconds["q3"] = seconds.q3 * 1e6;
  line["us"] = microseconds;
  line["memory_read_gb_per_s"] = Quartiles(read).json();
  line["share_of_memory_read"] = Quartiles(share).json();
  return line;
}

void print_line(const Json& line, double int8_peak) {
  const Json& us = line.at("us");
  std::printf("%-20s %5lld x %-5lld %3lld %-6s %9.1f %8.1f-%8.1f %7.1f %8.1f %6.2f %6.2f\n",
              line.at("product").as_string().c_str(), static_cast<long long>(line.at("outputs").as_int()),
              static_cast<long long>(line.at("inputs").as_int()),
              static_cast<long long>(line.at("threads").as_int()), line.at("memory").as_string().c_str(),
              us.at("median").as_double(), us.at("q1").as_double(), us.at("q3").as_double(),
              line.at("gb_per_s").as_double(), line.at("gmac_per_s").as_double(),
              line.at("share_of_memory_read").at("median").as_double(),
              line.at("gmac_per_s").as_double() / int8_peak);
  std::fflush(stdout);
}

}  // namespace

ExitCode run_bench_ceilings(const BenchCeilingsOptions& options) {
  Ceilings ceilings;
  const Json measured = measure_ceilings(ceilings, options.threads, options.reps);
  if (options.json) {
    std::printf("%s\n", Json(Json::Object{{"machine", machine()}, {"ceilings", measured}}).dump(2).c_str());
  } else {
    print_ceilings(measured);
  }
  return ExitCode::done;
}

ExitCode run_bench_kernels(const BenchKernelsOptions& options) {
  A48_CHECK(!options.gpu, ErrorKind::config, "this program has no GPU; use a48 bench kernels --device cuda");
  Ceilings ceilings;
  const Json measured = measure_ceilings(ceilings, options.threads, 25);
  Json lines = Json::array();
  if (!options.json) {
    print_ceilings(measured);
    std::printf("%-20s %13s %3s %-6s %9s %17s %7s %8s %6s %6s\n", "product", "shape", "thr", "memory", "us",
                "quartiles", "GB/s", "GMAC/s", "/read", "/int8");
  }
  for (const std::string& shape : options.shapes) {
    const Shape* found = std::find_if(std::begin(kShapes), std::end(kShapes),
                                      [&](const Shape& known) { return shape == known.name; });
    A48_CHECK(found != std::end(kShapes), ErrorKind::config, "--shape ", shape, ": allowed are 700M and 2B");
    const std::int64_t hidden = found->hidden, wide = found->feed_forward;
    for (const Case& c : kCases) {
      if (std::string(c.name).find(options.only) == std::string::npos) continue;
      for (const int threads : options.threads) {
        set_thread_count(threads);
        const double peak =
            measured.at(std::to_string(thread_count())).at("int8_multiply_add").at("median").as_double();
        for (const Memory memory : {Memory::cold, Memory::cold_4k, Memory::cached}) {
          if (memory != Memory::cold && c.product == Product::batch) continue;
          const std::int64_t outputs = c.down ? hidden : wide, inputs = c.down ? wide : hidden;
          Json line = measure(ceilings, c, outputs, inputs, memory, options.reps);
          line["shape"] = shape;
          if (!options.json) print_line(line, peak);
          lines.push_back(std::move(line));
        }
      }
    }
  }
  set_thread_count(0);
  if (options.json)
    std::printf("%s\n", Json(Json::Object{{"machine", machine()}, {"ceilings", measured}, {"kernels", lines}})
                            .dump(2)
                            .c_str());
  return ExitCode::done;
}

}  // namespace a48::tools
