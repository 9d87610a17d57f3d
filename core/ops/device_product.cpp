// One product for all matrices of an input, and the choice between the two that can make it. Next:
// core/kernels/cuda/gemm_ternary.cu.
#include "core/ops/device_product.h"

#include <ATen/ops/_int_mm.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <numeric>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/quartiles.h"
#include "core/kernels/cuda/layout.h"
#include "core/ops/device_views.h"

namespace a48::ops {
namespace {

/// LibTorch's int8 product takes more rows than these; our kernel has a tile for them.
constexpr std::int64_t kMostRowsWithout = 16;
constexpr int kWarmup = 2, kTimed = 5;

kernels::cuda::TernaryOperand operand_of(const DeviceWeights& weights) {
  kernels::cuda::TernaryOperand operand;
  operand.outputs = weights.all_outputs();
  operand.inputs = weights.inputs;
  operand.codes =
      device_rows_of<const std::int8_t>(weights.padded.narrow(0, 0, operand.outputs), operand.inputs);
  operand.matrices = static_cast<int>(weights.outputs.size());
  std::int64_t end = 0;
  for (std::size_t i = 0; i < weights.outputs.size(); ++i) {
    operand.end[i] = end += weights.outputs[i];
    operand.alpha[i] = device_data<float>(weights.alphas[i]);
  }
  return operand;
}

void write_product(CodeProduct how, const at::Tensor& codes, const at::Tensor& step,
                   const DeviceWeights& weights, at::Tensor& y) {
  const kernels::cuda::TernaryOperand operand = operand_of(weights);
  if (how == CodeProduct::own_kernel) {
    device().kernels->gemm_ternary({.codes = device_rows_of<const std::int8_t>(codes, operand.inputs),
                                    .step = device_data<float>(step),
                                    .code_sum = nullptr,  // read beside packed weights only
                                    .weight = operand,
                                    .y = float_rows_of(y)},
                                   device().stream());
    return;
  }
  const at::Tensor t = weights.padded.narrow(0, 0, kernels::cuda::round_up(operand.outputs, kOutputMultiple));
  const at::Tensor acc = at::_int_mm(codes, t.t());  // int32 [R, Σ N_i rounded up]
  device().kernels->scale_rows({.acc = device_rows_of<const std::int32_t>(acc, operand.outputs),
                                .step = device_data<float>(step),
                                .weight = operand,
                                .y = float_rows_of(y)},
                               device().stream());
}

/// What this process knows; a backward pass asks from another thread.
struct Measured {
  std::mutex mutex;
  std::vector<MeasuredProduct> products;
};
Measured& measured() {
  static Measured instance;
  return instance;
}

/// By turns, so that a change of clocks hits both alike.
MeasuredProduct measure(const MeasuredProduct& shape, FunctionRef<void(CodeProduct)> work) {
  std::vector<double> int_mm, own_kernel;
  for (int i = 0; i < kWarmup + kTimed; ++i) {
    const double a = device().seconds([&] { work(CodeProduct::int_mm); });
    const double b = device().seconds([&] { work(CodeProduct::own_kernel); });
    if (i < kWarmup) continue;
    int_mm.push_back(a);
    own_kernel.push_back(b);
  }
  MeasuredProduct product = shape;
  product.int_mm = Quartiles(std::move(int_mm)).median;
  product.own_kernel = Quartiles(std::move(own_kernel)).median;
  log::debug(concat("codes of ", product.rows, " rows, ", product.inputs, " -> ", product.outputs,
                    product.type == at::kFloat ? " in fp32" : " in bf16", ": _int_mm and scale ",
                    1e6 * product.int_mm, " us, gemm_ternary ", 1e6 * product.own_kernel, " us"));
  return product;
}

CodeProduct choose(const MeasuredProduct& shape, FunctionRef<void(CodeProduct)> work) {
  if (shape.rows <= kMostRowsWithout) return CodeProduct::own_kernel;
  if (device().code_product) return *device().code_product;
  if (device().seconds == nullptr) return CodeProduct::int_mm;
  const std::lock_guard lock(measured().mutex);
  std::vector<MeasuredProduct>& known = measured().products;
  const auto same = std::find_if(known.begin(), known.end(), [&](const MeasuredProduct& other) {
    return other.rows == shape.rows && other.inputs == shape.inputs && other.outputs == shape.outputs &&
           other.type == shape.type;
  });
  if (same != known.end()) return same->faster();
  return known.emplace_back(measure(shape, work)).faster();
}

}  // namespace

std::int64_t DeviceWeights::all_outputs() const {
  return std::accumulate(outputs.begin(), outputs.end(), std::int64_t{0});
}

at::Tensor DeviceWeights::part(const at::Tensor& x, std::int64_t dim, std::size_t i) const {
  const std::int64_t begin =
      std::accumulate(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(i), std::int64_t{0});
  return outputs.size() == 1 ? x : x.narrow(dim, begin, outputs[i]);
}

DeviceWeights device_weights(std::span<const LinearWeight> weights) {
  A48_ASSERT(!weights.empty() && weights.size() <= kernels::cuda::kMostMatrices, weights.size());
  const TernaryWeight& first = weights.front().ternary;
  DeviceWeights all{first.padded, {}, {}, first.codes.size(1)};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const TernaryWeight& weight = weights[i].ternary;
    A48_ASSERT(i == 0 || weight.follows(weights[i - 1].ternary), weights[i].name,
               "and those before it: made by one call of ternarize");
    all.alphas.push_back(weight.device_alpha);
    all.outputs.push_back(weight.codes.size(0));
  }
  return all;
}

at::Tensor code_product(const at::Tensor& codes, const at::Tensor& step, const DeviceWeights& weights,
                        at::ScalarType type) {
  const std::int64_t rows = codes.size(0), outputs = weights.all_outputs();
  at::Tensor y = at::empty({rows, outputs}, at::TensorOptions(codes.device()).dtype(type));
  const auto work = [&](CodeProduct how) { write_product(how, codes, step, weights, y); };
  MeasuredProduct shape;
  shape.rows = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  shape.inputs = weights.inputs;
  shape.outputs = outputs;
  shape.type = type;
  work(choose(shape, work));
  return y;
}

std::vector<MeasuredProduct> measured_products() {
  const std::lock_guard lock(measured().mutex);
  return measured().products;
}

void forget_measured_products() {
  const std::lock_guard lock(measured().mutex);
  measured().products.clear();
}

}  // namespace a48::ops
