// `a48 bench kernels --device cuda`: what this GPU reaches in copies and in LibTorch's products, and what the
// kernels of core/kernels/cuda make of it (kernels.md 7, 8). Times are those of CUDA events; buffers rotate
// over more than the GPU's cache; no result that differs from the other way to compute it is timed.
#include <functional>

#include "core/base/check.h"
#include "core/base/quartiles.h"
#include "core/kernels/cuda/layout.h"
#include "core/ops/bit_linear.h"
#include "core/ops/device.h"
#include "core/ops/device_views.h"
#include "core/ops/gpu.h"
#include "core/ops/torch_errors.h"
#include "training/bench.h"
#include "training/devices.h"
#include "training/signals.h"

namespace a48::train {
namespace {

constexpr int kWarmup = 20, kTimed = 100;
constexpr std::int64_t kColdBytes = std::int64_t{1} << 28;  // over four times a cache of 60 MB
constexpr std::int64_t kRows = 16384;                       // tokens of a micro-batch

/// `work(i)` uses buffer i of a rotation.
Quartiles seconds_of(const std::function<void(int)>& work) {
  for (int i = 0; i < kWarmup; ++i) work(i);
  std::vector<double> seconds;
  for (int i = 0; i < kTimed; ++i) {
    A48_CHECK(!stop_requested(), ErrorKind::stopped, "bench kernels: stopped by ", stop_reason());
    seconds.push_back(ops::gpu_seconds([&] { work(i); }));
  }
  return Quartiles(std::move(seconds));
}

at::TensorOptions on_gpu(at::ScalarType type) { return at::TensorOptions(torch::kCUDA).dtype(type); }

/// As many as a rotation over kColdBytes needs.
std::vector<at::Tensor> rotation(const std::function<at::Tensor()>& make) {
  std::vector<at::Tensor> tensors{make()};
  const auto bytes = static_cast<std::int64_t>(tensors[0].nbytes());
  for (std::int64_t total = bytes; total < kColdBytes; total += bytes) tensors.push_back(make());
  return tensors;
}
const at::Tensor& turn(const std::vector<at::Tensor>& tensors, int i) {
  return tensors[static_cast<std::size_t>(i) % tensors.size()];
}

at::Tensor activations(std::int64_t rows, std::int64_t width) {
  return at::randn({rows, width}, on_gpu(at::kBFloat16));
}
at::Tensor master(std::int64_t outputs, std::int64_t inputs) {
  return at::randn({outputs, inputs}, on_gpu(at::kFloat)) * 0.02;
}

struct Ceilings {
  double read = 0.0, copy = 0.0;  // bytes per second
  double bf16 = 0.0, int8 = 0.0;  // operations per second
  double launch = 0.0;            // seconds from one tiny kernel to the next in a stream
};

Ceilings measure_ceilings() {
  Ceilings found;
  constexpr std::int64_t kBytes = std::int64_t{1} << 30;
  const at::Tensor from = at::ones({kBytes / 4}, on_gpu(at::kFloat)), to = at::empty_like(from);
  found.copy =
      2.0 * static_cast<double>(kBytes) / seconds_of([&](int) { at::Tensor(to).copy_(from); }).median;
  found.read = static_cast<double>(kBytes) / seconds_of([&](int) { from.sum(); }).median;
  constexpr std::int64_t kSize = 8192;
  const double operations = 2.0 * static_cast<double>(kSize) * kSize * kSize;
  const at::Tensor a = activations(kSize, kSize), b = activations(kSize, kSize);
  found.bf16 = operations / seconds_of([&](int) { at::mm(a, b.t()); }).median;
  const at::Tensor c = at::randint(-127, 128, {kSize, kSize}, on_gpu(at::kChar)),
                   d = at::randint(-1, 2, {kSize, kSize}, on_gpu(at::kChar));
  found.int8 = operations / seconds_of([&](int) { at::_int_mm(c, d.t()); }).median;
  constexpr int kMany = 200;
  const at::Tensor one = at::zeros({1}, on_gpu(at::kFloat));
  found.launch = seconds_of([&](int) {
                   for (int i = 0; i < kMany; ++i) at::Tensor(one).zero_();
                 }).median /
                 kMany;
  return found;
}

Json json_of(const Ceilings& c) {
  Json json = Json::object();
  json["read_gb_s"] = c.read * 1e-9;
  json["copy_gb_s"] = c.copy * 1e-9;
  json["bf16_tflops"] = c.bf16 * 1e-12;
  json["int8_tops"] = c.int8 * 1e-12;
  json["launch_us"] = c.launch * 1e6;
  return json;
}

class Table {
 public:
  explicit Table(const Ceilings& ceilings) : ceilings_(ceilings) {}

  /// `share`: of its ceiling, or nothing.
  void add(const std::string& name, const std::string& shape, const Quartiles& time,
           std::optional<double> share) {
    Json row = Json::object(), us = Json::object();
    us["median"] = time.median * 1e6;
    us["q1"] = time.q1 * 1e6;
    us["q3"] = time.q3 * 1e6;
    row["name"] = name;
    row["shape"] = shape;
    row["us"] = us;
    row["share"] = share ? Json(*share) : Json();
    rows_.push_back(row);
  }
  const Ceilings& ceilings() const { return ceilings_; }
  const Json& rows() const { return rows_; }

 private:
  Ceilings ceilings_;
  Json rows_ = Json::array();
};

ops::LinearInput input_of(quant::Scheme scheme, double keep, const at::Tensor& gain) {
  ops::LinearInput input;
  input.scheme = scheme;
  input.keep = keep;
  input.gain = gain;
  input.eps = 1e-5;
  return input;
}

void demand_equal(const at::Tensor& a, const at::Tensor& b, const std::string& what) {
  A48_CHECK(at::equal(a, b), ErrorKind::check_failed, "bench kernels: ", what,
            " differs from the other way to compute it; nothing is timed");
}

/// G1 and G2: norm, statistic, TopK, codes in one kernel; bytes are one read of bf16 and one write of codes.
void quantizers(Table& table) {
  for (const std::int64_t width : {std::int64_t{768}, std::int64_t{2048}, std::int64_t{5460}}) {
    const auto x = rotation([&] { return activations(kRows, width); });
    const at::Tensor gain = at::ones({width}, on_gpu(at::kFloat));
    for (const auto& [scheme, keep] :
         {std::pair{quant::Scheme::int8, std::int64_t{0}}, std::pair{quant::Scheme::int8, width / 2},
          std::pair{quant::Scheme::int4, std::int64_t{0}}}) {
      const std::int64_t stride = kernels::cuda::code_row_bytes(width);
      const at::Tensor codes = at::empty({kRows, stride}, on_gpu(at::kChar)),
                       step = at::empty({kRows}, on_gpu(at::kFloat)),
                       sums = at::empty({kRows}, on_gpu(at::kInt)),
                       status = at::empty({kRows}, on_gpu(at::kByte));
      const Quartiles time = seconds_of([&](int i) {
        kernels::cuda::QuantizeArgs args;
        args.x = ops::float_rows(turn(x, i));
        args.gain = ops::device_data<float>(gain);
        args.eps = 1e-5;
        args.scheme = scheme;
        args.keep = keep;
        args.codes = ops::device_rows_of<std::int8_t>(codes, width);
        args.step = ops::device_data<float>(step);
        args.code_sum = ops::device_data<std::int32_t>(sums);
        args.status = ops::device_data<std::uint8_t>(status);
        ops::device().kernels->quantize_rows(args, ops::device().stream());
      });
      const double bytes = static_cast<double>(kRows) * static_cast<double>(2 * width + stride + 9);
      table.add(concat("norm + quantize ", quant::row_of(scheme).name, keep > 0 ? " + TopK" : ""),
                concat(kRows, " x ", width), time, bytes / time.median / table.ceilings().copy);
    }
  }
}

/// G3: both products of codes with scales, beside a plain bf16 product. 3 · and 2 ·: q, k, v and gate, up.
void products(Table& table) {
  for (const auto& [outputs, inputs] :
       {std::pair{768, 768}, std::pair{2048, 768}, std::pair{2048, 2048}, std::pair{3 * 2048, 2048},
        std::pair{5460, 2048}, std::pair{2 * 5460, 2048}, std::pair{2048, 5460}, std::pair{4096, 4096},
        std::pair{11008, 4096}}) {
    A48_CHECK(!stop_requested(), ErrorKind::stopped, "bench kernels: stopped by ", stop_reason());
    const std::string shape = concat(kRows, " x ", inputs, " -> ", outputs);
    const double operations = 2.0 * kRows * inputs * outputs;
    const at::Tensor x = activations(kRows, inputs), w = master(outputs, inputs);
    const ops::LinearWeight weight{w, ops::ternarize(w), "bench"};
    const ops::LinearInput input = input_of(quant::Scheme::int8, 1.0, {});
    const at::NoGradGuard no_grad;
    const auto with = [&](ops::CodeProduct product) {
      ops::DeviceAccess access = ops::device();
      access.code_product = product;
      ops::set_device_access(&access);
      const at::Tensor result = ops::bit_linear(x, {&weight, 1}, input).front();
      const Quartiles seconds = seconds_of([&](int) { ops::bit_linear(x, {&weight, 1}, input); });
      ops::use_gpu();
      return std::pair{result, seconds};
    };
    const auto [expected, int_mm] = with(ops::CodeProduct::int_mm);
    const auto [found, ours] = with(ops::CodeProduct::own_kernel);
    demand_equal(found, expected, "gemm_ternary");
    const at::Tensor dense = w.to(at::kBFloat16);
    const Quartiles bf16 = seconds_of([&](int) { at::mm(x, dense.t()); });
    table.add("quantize, _int_mm, scale", shape, int_mm, operations / int_mm.median / table.ceilings().int8);
    table.add("quantize, gemm_ternary", shape, ours, operations / ours.median / table.ceilings().int8);
    table.add("bf16 mm", shape, bf16, operations / bf16.median / table.ceilings().bf16);
  }
}

/// G5: dX and dW of one BitLinear from codes, beside two plain bf16 products.
void backward_products(Table& table) {
  for (const auto& [outputs, inputs] :
       {std::pair{2048, 2048}, std::pair{3 * 2048, 2048}, std::pair{2 * 5460, 2048}, std::pair{4096, 4096}}) {
    const at::Tensor x = activations(kRows, inputs).requires_grad_(),
                     w = master(outputs, inputs).requires_grad_();
    const ops::LinearWeight weight{w, ops::ternarize(w), "bench"};
    ops::LinearInput input = input_of(quant::Scheme::int4, 1.0, {});
    input.backward = ops::BackwardDtype::bf16;
    const at::Tensor y = ops::bit_linear(x, {&weight, 1}, input).front();
    const at::Tensor dy = activations(kRows, outputs);
    const Quartiles ours = seconds_of([&](int) {
      torch::autograd::grad({y}, {x, w}, {dy}, /*retain_graph=*/true);
    });
    const at::NoGradGuard no_grad;
    const at::Tensor dense = w.to(at::kBFloat16), rows = x.detach();
    const Quartiles plain = seconds_of([&](int) {
      at::mm(dy, dense);
      at::mm(dy.t(), rows);
    });
    const std::string shape = concat(kRows, " x ", inputs, " -> ", outputs);
    table.add("backward from codes", shape, ours, plain.median / ours.median);
    table.add("backward in bf16", shape, plain, std::nullopt);
  }
}

/// G6: the codes of a 1.3B model's matrices, once per optimizer step.
void ternary_weights(Table& table) {
  const at::Tensor square = master(2048, 2048), wide = master(5460, 2048), tall = master(2048, 5460);
  const Quartiles time = seconds_of([&](int) {
    for (int i = 0; i < 4; ++i) ops::ternarize(square);
    for (int i = 0; i < 2; ++i) ops::ternarize(wide);
    ops::ternarize(tall);
  });
  const double bytes = 9.0 * (4.0 * 2048 * 2048 + 3.0 * 5460 * 2048);  // two reads of fp32, one write of int8
  table.add("ternarize a 1.3B layer", "7 matrices", time, bytes / time.median / table.ceilings().copy);
}

/// G4: one token times 2-bit weights, over buffers that no cache holds.
void decode_products(Table& table) {
  for (const auto& [outputs, inputs] :
       {std::pair{4096, 4096}, std::pair{11008, 4096}, std::pair{4096, 11008}}) {
    const std::int64_t words_of_row = kernels::cuda::ternary_row_words(inputs);
    const auto words = rotation([&, n = outputs] {
      return at::randint(0, 1 << 30, {n, words_of_row}, on_gpu(at::kInt)).bitwise_and(0x55555555);
    });
    const at::Tensor codes = at::zeros({kernels::cuda::code_row_bytes(inputs)}, on_gpu(at::kChar)),
                     one = at::ones({1}, on_gpu(at::kFloat)), sum = at::zeros({1}, on_gpu(at::kInt)),
                     y = at::empty({outputs}, on_gpu(at::kFloat));
    const Quartiles time = seconds_of([&, n = outputs, k = inputs](int i) {
      kernels::cuda::GemvArgs args;
      args.codes = ops::device_data<std::int8_t>(codes);
      args.step = ops::device_data<float>(one);
      args.code_sum = ops::device_data<std::int32_t>(sum);
      args.weight.outputs = n;
      args.weight.inputs = k;
      args.weight.words = ops::device_rows_of<const std::uint32_t>(turn(words, i), words_of_row);
      args.weight.end[0] = n;
      args.weight.alpha[0] = ops::device_data<float>(one);
      args.y = ops::device_data<float>(y);
      ops::device().kernels->gemv_ternary(args, ops::device().stream());
    });
    const double bytes = 4.0 * static_cast<double>(outputs * words_of_row);
    table.add("gemv_ternary, cold", concat(inputs, " -> ", outputs), time,
              bytes / time.median / table.ceilings().read);
  }
}

}  // namespace

Json gpu_ceilings() { return json_of(measure_ceilings()); }

Json bench_gpu_kernels() {
  const SignalScope signals("\nstopping without a result; again to stop now\n");
  return ops::with_torch_errors([] {
    place_on_gpu();
    Table table(measure_ceilings());
    quantizers(table);
    products(table);
    backward_products(table);
    ternary_weights(table);
    decode_products(table);
    Json result = Json::object();
    result["gpu"] = ops::gpu_name();
    result["gpu_query"] = gpu_query();
    result["ceilings"] = json_of(table.ceilings());
    result["kernels"] = table.rows();
    return result;
  });
}

}  // namespace a48::train
