// What the decode benchmarks of both devices share: the tests, their tokens, the clock. Users:
// bench_decode.cpp, bench_device_decode.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/runtime/model.h"
#include "core/runtime/packed_file.h"
#include "tools/commands.h"

namespace a48::tools {

/// One line of the table: `tokens` tokens after `depth` others, together (prefill) or one by one.
struct DecodeTest {
  int threads;
  std::int64_t tokens, depth;
  bool prefill;
  std::vector<double> rates{};  // tokens/s of each repetition
  std::vector<double> reads{};  // GB/s of memory beside each of them

  std::string name() const;
};
std::vector<DecodeTest> decode_tests(const BenchDecodeOptions& options);
/// Error(config) when the model's context is too short for it.
void check_fits(const DecodeTest& test, const runtime::PackedModel& packed);
std::optional<runtime::CacheFormat> bench_cache(const BenchDecodeOptions& options,
                                                const runtime::PackedModel& packed);

/// The same random token at a position in every benchmark.
runtime::TokenInput random_token(const runtime::ModelInfo& info, std::int64_t position, bool wants_logits);
/// Of one repetition.
double tokens_per_second(runtime::LanguageModel& model, const DecodeTest& test);

/// File, mode, head, parameters and cache; a device adds its name.
Json described(const BenchDecodeOptions& options, const runtime::PackedModel& packed,
               const runtime::ModelInfo& info, const runtime::CacheFormat& cache);
/// Test, median and quartiles, and every repetition.
Json rates_of(const DecodeTest& test);
/// What a decoded token reads; keys and values at half of the tokens that a test decodes.
Json bytes_per_token(double ternary, double head, const DecodeTest& test, std::int64_t cache_bytes);

/// `bench decode` and `bench prefill` with --device cuda.
ExitCode run_bench_device_decode(const BenchDecodeOptions& options);

}  // namespace a48::tools
