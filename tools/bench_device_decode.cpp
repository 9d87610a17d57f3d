// `a48 bench decode --device cuda` and `bench prefill`: tokens per second of a packed model on a GPU, beside
// the rate at which the GPU reads memory and the gap that every kernel costs, measured in the same run. Next:
// core/runtime/device_decoder.cpp.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/quartiles.h"
#include "core/runtime/decoder.h"
#include "core/runtime/device_decoder.h"
#include "core/runtime/pack_model.h"
#include "tools/bench_decode.h"

namespace a48::tools {
namespace {

namespace cuda = kernels::cuda;

/// What the GPU can do at best.
class DeviceCeilings {
 public:
  DeviceCeilings()
      : memory_(std::min(kMostBytes, cuda::free_device_memory() / 2 / kPiece * kPiece)),
        sum_(1),
        kernels_(stream_.get(), [this] {
          for (int i = 0; i < kKernels; ++i) cuda::table_cuda().do_nothing({}, stream_.get());
        }) {
    cuda::clear_on_device(memory_.data(), memory_.bytes(), stream_.get());
  }

  /// GB/s of reading memory beyond every cache.
  double read_rate() {
    const double seconds = cuda::seconds_on_device(stream_.get(), [this] {
      cuda::table_cuda().read_bytes({.data = memory_.data(), .bytes = memory_.bytes(), .sum = sum_.data()},
                                    stream_.get());
    });
    return static_cast<double>(memory_.bytes()) / seconds * 1e-9;
  }
  /// Seconds from one empty kernel of a graph to the next.
  double kernel_gap() {
    return cuda::seconds_on_device(stream_.get(), [this] { kernels_.start(stream_.get()); }) / kKernels;
  }

 private:
  static constexpr std::int64_t kPiece = 4096, kMostBytes = std::int64_t{1} << 30;
  static constexpr int kKernels = 512;

  cuda::OwnedStream stream_;
  cuda::DeviceBuffer<std::uint8_t> memory_;
  cuda::DeviceBuffer<std::uint32_t> sum_;
  cuda::Graph kernels_;
};

/// A wrong result has no speed: the first tokens must have the CPU's bits.
void check_first_tokens(runtime::DeviceDecoder& device, const BenchDecodeOptions& options,
                        const runtime::DecoderOptions& decoder_options) {
  constexpr std::int64_t kTokens = 3;
  runtime::Decoder cpu(runtime::PackedModel::open(options.model), decoder_options);
  cpu.start(1);
  device.start(1);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const runtime::TokenInput token = random_token(cpu.info(), t, true);
    const Rows<const float> expected = cpu.feed({&token, 1}), found = device.feed({&token, 1});
    A48_CHECK(
        std::memcmp(found.data, expected.data, static_cast<std::size_t>(found.cols) * sizeof(float)) == 0,
        ErrorKind::internal, options.model, ": token ", t,
        " has other logits on the GPU than on the CPU; please report it");
  }
}

Json result_of(const runtime::DeviceDecoder& model, const DecodeTest& test, const std::vector<double>& gaps) {
  Json json = rates_of(test);
  if (test.prefill) return json;
  using runtime::DeviceWeights;
  json["bytes_per_token"] =
      bytes_per_token(static_cast<double>(DeviceWeights::ternary_bytes_of(model.packed())),
                      static_cast<double>(DeviceWeights::head_bytes_of(model.packed())), test,
                      model.cache().bytes_per_token());
  const double sum = json["bytes_per_token"].at("sum").as_double();
  const double read = Quartiles(test.reads).median, gap = Quartiles(gaps).median;
  const double rate = Quartiles(test.rates).median;
  const auto kernels = static_cast<double>(model.kernels_of_token());
  json["kernels_per_token"] = model.kernels_of_token();
  json["memory_read_gb_per_s"] = read;
  json["kernel_gap_us"] = 1e6 * gap;
  json["share_of_memory_read"] = sum * 1e-9 * rate / read;
  json["share_of_roofline"] = (sum * 1e-9 / read + kernels * gap) * rate;
  return json;
}

void print_line(const Json& result) {
  const Json& rate = result.at("tokens_per_s");
  std::printf("%-12s %10.1f %9.1f-%-9.1f", result.at("test").as_string().c_str(),
              rate.at("median").as_double(), rate.at("q1").as_double(), rate.at("q3").as_double());
  if (const Json* bytes = result.find("bytes_per_token"))
    std::printf(" %10.1f %10.1f %7.2f %9.2f %9.2f", bytes->at("sum").as_double() * 1e-6,
                result.at("memory_read_gb_per_s").as_double(), result.at("share_of_memory_read").as_double(),
                result.at("kernel_gap_us").as_double(), result.at("share_of_roofline").as_double());
  std::printf("\n");
}

Json description(const runtime::DeviceDecoder& model, const BenchDecodeOptions& options) {
  Json json = described(options, model.packed(), model.info(), model.cache().format());
  json["gpu"] = cuda::device_name();
  return json;
}

}  // namespace

ExitCode run_bench_device_decode(const BenchDecodeOptions& options) {
  runtime::demand_device();
  runtime::PackedModel packed = runtime::PackedModel::open(options.model);
  runtime::DecoderOptions decoder_options;
  decoder_options.cache = bench_cache(options, packed);
  BenchDecodeOptions of_one_host_thread = options;
  of_one_host_thread.threads = {1};
  std::vector<DecodeTest> tests = decode_tests(of_one_host_thread);
  for (const DecodeTest& test : tests) check_fits(test, packed);
  runtime::DeviceDecoder model(std::move(packed), decoder_options);
  check_first_tokens(model, options, decoder_options);

  DeviceCeilings ceilings;
  std::vector<double> gaps;
  // Round robin, so that a slow drift of the machine hits every test alike; the first round warms up.
  for (int round = -1; round < options.reps; ++round) {
    for (DecodeTest& test : tests) {
      const double rate = tokens_per_second(model, test), read = ceilings.read_rate();
      if (round < 0) continue;
      test.rates.push_back(rate);
      test.reads.push_back(read);
    }
    const double gap = ceilings.kernel_gap();
    if (round >= 0) gaps.push_back(gap);
    log::progress(concat("round ", round + 1, " of ", options.reps));
  }

  Json all = Json::object();
  all["model"] = description(model, options);
  all["results"] = Json::array();
  for (const DecodeTest& test : tests) all["results"].push_back(result_of(model, test, gaps));
  if (options.json) {
    std::cout << all.dump(2) << "\n";
    return ExitCode::done;
  }
  std::printf("%s\n%-12s %10s %19s", all.at("model").dump().c_str(), "test", "tokens/s", "quartiles ");
  if (options.prefill) {
    std::printf("\n");
  } else {
    std::printf(" %10s %10s %7s %9s %9s\n", "MB/token", "read GB/s", "/read", "gap us", "/roofline");
  }
  for (const Json& result : all.at("results").as_array()) print_line(result);
  return ExitCode::done;
}

}  // namespace a48::tools
