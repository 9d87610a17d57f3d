// `a48 bench decode` and `bench prefill`: tokens per second of a packed model, one sequence at a time, with
// what each token touched; `bench make-model`: a model of a given shape to measure. Next:
// core/runtime/decoder.cpp.
#include <chrono>
#include <cstdio>
#include <iostream>

#include "core/base/check.h"
#include "core/base/cpu.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "core/base/quartiles.h"
#include "core/base/rng.h"
#include "core/runtime/decoder.h"
#include "core/runtime/synthetic_model.h"
#include "tools/bench_decode.h"
#include "tools/commands.h"
#include "tools/memory_read.h"

namespace a48::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Test = DecodeTest;

constexpr std::int64_t kReadBytes = std::int64_t{128} << 20;  // a measurement of the memory's rate

/// What one decoded token reads, in bytes, by the shares that were multiplied.
Json touched(const runtime::Decoder& model, const runtime::ForcedDensity& share, const Test& test) {
  const runtime::PackedModel& packed = model.packed();
  const auto bytes = [](const kernels::TernaryMatrix& m) {
    return static_cast<double>(m.packed.rows * m.packed.stride);
  };
  double ternary = 0;
  for (const runtime::PackedLayer& w : packed.layers())
    ternary += bytes(w.q) + bytes(w.k) + bytes(w.v) + bytes(w.gate) + share.out * bytes(w.o) +
               share.up * bytes(w.up) + share.down * bytes(w.down);
  const kernels::HeadWeight& head = packed.head();
  const double groups = static_cast<double>(head.group_scale.rows * head.group_scale.cols) * 2.0;
  const double head_bytes = static_cast<double>(head.rows * head.stored.stride) + groups +
                            (head.row_scale != nullptr ? 4.0 * static_cast<double>(head.rows) : 0.0);
  return bytes_per_token(ternary, head_bytes, test, model.cache().bytes_per_token());
}

runtime::ForcedDensity shares_of(const runtime::Decoder& model, const BenchDecodeOptions& options) {
  if (options.forced) return *options.forced;
  const runtime::SparsityCounts& counts = model.counts();
  return {1.0 - counts.gate_output.share(), 1.0 - counts.down.share(), 1.0 - counts.out.share()};
}

Json result_of(const runtime::Decoder& model, const Test& test, const BenchDecodeOptions& options) {
  const runtime::ForcedDensity share = shares_of(model, options);
  Json json = rates_of(test);
  json["threads"] = test.threads;
  Json density = Json::object();
  density["up"] = share.up;
  density["down"] = share.down;
  density["out"] = share.out;
  density["forced"] = options.forced.has_value();
  json["density"] = std::move(density);
  if (!test.prefill) {
    json["bytes_per_token"] = touched(model, share, test);
    // Roofline: the bytes of a token at the rate at which memory was read beside it.
    std::vector<double> shares;
    for (std::size_t i = 0; i < test.rates.size(); ++i)
      shares.push_back(json["bytes_per_token"].at("sum").as_double() * 1e-9 * test.rates[i] / test.reads[i]);
    json["memory_read_gb_per_s"] = Quartiles(test.reads).median;
    json["share_of_memory_read"] = Quartiles(shares).median;
  }
  return json;
}

void print_line(const Json& result) {
  const Json& rate = result.at("tokens_per_s");
  const Json& density = result.at("density");
  const Json* bytes = result.find("bytes_per_token");
  const double megabytes = bytes != nullptr ? bytes->at("sum").as_double() * 1e-6 : 0.0;
  std::printf("%-12s %7lld %10.1f %9.1f-%-9.1f", result.at("test").as_string().c_str(),
              static_cast<long long>(result.at("threads").as_int()), rate.at("median").as_double(),
              rate.at("q1").as_double(), rate.at("q3").as_double());
  if (bytes != nullptr)
    std::printf(" %10.1f %10.1f %7.2f   %.3f/%.3f/%.3f", megabytes,
                megabytes * 1e-3 * rate.at("median").as_double(),
                result.at("share_of_memory_read").as_double(), density.at("up").as_double(),
                density.at("down").as_double(), density.at("out").as_double());
  std::printf("\n");
}

Json description(const runtime::Decoder& model, const BenchDecodeOptions& options) {
  Json json = described(options, model.packed(), model.info(), model.cache().format());
  json["cpu"] = cpu_name();
  json["isa"] = isa_name(active_isa());
  return json;
}

}  // namespace

runtime::TokenInput random_token(const runtime::ModelInfo& info, std::int64_t position, bool wants_logits) {
  const std::uint64_t bits = random_bits(stream_of("bench"), 0, static_cast<std::uint64_t>(position));
  return {0, static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(info.vocab_size)), wants_logits};
}

double tokens_per_second(runtime::LanguageModel& model, const DecodeTest& test) {
  model.start(1);
  model.reserve(test.depth + test.tokens);
  std::vector<runtime::TokenInput> prompt;
  const auto feed_together = [&](std::int64_t begin, std::int64_t count) {
    prompt.clear();
    for (std::int64_t i = begin; i < begin + count; ++i)
      prompt.push_back(random_token(model.info(), i, false));
    prompt.back().wants_logits = true;
    model.feed(prompt);
  };
  if (test.depth > 0) feed_together(0, test.depth);
  model.reset_sparsity();
  const auto begin = Clock::now();
  if (test.prefill) {
    feed_together(test.depth, test.tokens);
  } else {
    for (std::int64_t i = 0; i < test.tokens; ++i) {
      const runtime::TokenInput token = random_token(model.info(), test.depth + i, true);
      model.feed({&token, 1});
    }
  }
  return static_cast<double>(test.tokens) / std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<DecodeTest> decode_tests(const BenchDecodeOptions& options) {
  std::vector<DecodeTest> tests;
  for (const int threads : options.threads)
    for (const std::int64_t depth : options.depths)
      for (const std::int64_t tokens : options.tokens)
        tests.push_back({threads > 0 ? threads : physical_cores(), tokens, depth, options.prefill, {}});
  return tests;
}

std::string DecodeTest::name() const {
  std::string text = (prefill ? "pp" : "tg") + std::to_string(tokens);
  return depth > 0 ? text + "@d" + std::to_string(depth) : text;
}

void check_fits(const DecodeTest& test, const runtime::PackedModel& packed) {
  A48_CHECK(test.depth + test.tokens <= packed.model().max_position_embeddings, ErrorKind::config, "test ",
            test.name(), " needs ", test.depth + test.tokens, " positions; the model's context has ",
            packed.model().max_position_embeddings);
}

std::optional<runtime::CacheFormat> bench_cache(const BenchDecodeOptions& options,
                                                const runtime::PackedModel& packed) {
  if (options.kv_bits == 0) return std::nullopt;
  runtime::CacheFormat format = packed.cache_format();
  format.kv_bits = options.kv_bits;
  format.q_bits = options.q_bits;
  return format;
}

Json described(const BenchDecodeOptions& options, const runtime::PackedModel& packed,
               const runtime::ModelInfo& info, const runtime::CacheFormat& cache) {
  Json json = Json::object();
  json["file"] = options.model;
  json["bytes"] = static_cast<std::int64_t>(packed.file_bytes());
  json["mode"] = info.mode;
  json["head"] = runtime::head_class_name(packed.head().kind);
  json["parameters"] = config::total_parameters(packed.model());
  json["kv_bits"] = cache.kv_bits;
  json["q_bits"] = cache.q_bits;
  return json;
}

Json rates_of(const DecodeTest& test) {
  Json json = Json::object();
  json["test"] = test.name();
  json["tokens_per_s"] = Quartiles(test.rates).json();
  json["runs"] = Json::array();
  for (const double rate : test.rates) json["runs"].push_back(rate);
  return json;
}

Json bytes_per_token(double ternary, double head, const DecodeTest& test, std::int64_t cache_bytes) {
  const double length = static_cast<double>(test.depth) + 0.5 * static_cast<double>(test.tokens);
  const double cache = length * static_cast<double>(cache_bytes);
  Json json = Json::object();
  json["ternary"] = ternary;
  json["head"] = head;
  json["cache"] = cache;
  json["sum"] = ternary + head + cache;
  return json;
}

ExitCode run_bench_decode(const BenchDecodeOptions& options) {
  if (options.gpu) return run_bench_device_decode(options);
  runtime::DecoderOptions decoder_options;
  decoder_options.forced = options.forced;
  runtime::PackedModel packed = runtime::PackedModel::open(options.model);
  decoder_options.cache = bench_cache(options, packed);
  std::vector<Test> tests = decode_tests(options);
  for (const Test& test : tests) check_fits(test, packed);
  set_thread_count(*std::max_element(options.threads.begin(), options.threads.end()));
  runtime::Decoder model(std::move(packed), decoder_options);

  Json all = Json::object();
  all["model"] = description(model, options);
  std::optional<MemoryRead> memory;
  if (!options.prefill) memory.emplace(kReadBytes * 4);
  // Round robin, so that a slow drift of the machine hits every test alike; the first round warms up.
  for (int round = -1; round < options.reps; ++round) {
    for (Test& test : tests) {
      set_thread_count(test.threads);
      const double rate = tokens_per_second(model, test);
      if (round < 0) continue;
      test.rates.push_back(rate);
      if (memory) test.reads.push_back(memory->rate(kReadBytes));
    }
    log::progress(concat("round ", round + 1, " of ", options.reps));
  }
  all["results"] = Json::array();
  if (!options.json) {
    std::printf("%s\n%-12s %7s %10s %19s", all.at("model").dump().c_str(), "test", "threads", "tokens/s",
                "quartiles ");
    std::printf(options.prefill ? "\n" : " %10s %10s %7s   %s\n", "MB/token", "GB/s", "/read",
                "density up/down/out");
  }
  for (const Test& test : tests) {
    Json result = result_of(model, test, options);
    if (!options.json) print_line(result);
    all["results"].push_back(std::move(result));
  }
  if (options.json) std::cout << all.dump(2) << "\n";
  return ExitCode::done;
}

ExitCode run_make_model(const MakeModelOptions& options) {
  runtime::PackRequest request;
  request.model = config::model_preset(options.shape);
  if (options.context > 0) request.model.max_position_embeddings = options.context;
  request.slots = quant::row_of(options.mode).slots;
  request.mode = quant::row_of(options.mode).name;
  request.head = runtime::head_class_of(options.head);
  request.provenance["made_by"] = "a48 bench make-model";
  request.provenance["preset"] = options.shape;
  runtime::write_packed_model(options.out, request, runtime::synthetic_weights(request.model, 1));
  log::info(concat(options.out, ": random weights of the shape ", options.shape, ", ",
                   static_cast<double>(std::filesystem::file_size(options.out)) * 1e-6, " MB"));
  return ExitCode::done;
}

}  // namespace a48::tools
