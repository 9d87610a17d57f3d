// Which product a linear layer runs, by its slot: float, ternary with float input, or integer codes. Next:
// core/ops/bit_linear.cpp.
#include "modules/bit_linear.h"

#include "core/base/check.h"
#include "core/ops/bit_linear.h"
#include "core/ops/device.h"
#include "core/ops/fake_quant.h"
#include "core/ops/glu.h"
#include "core/ops/saved_bytes.h"
#include "core/ops/topk.h"
#include "modules/eager_fake_quant.h"

namespace a48::nn {
namespace {

/// The input with TopK's dropped entries at zero.
at::Tensor kept(const at::Tensor& x, const LinearSlot& slot) {
  return slot.keep < 1.0 ? ops::topk(x, slot.keep).first : x;
}

/// Float weights: LibTorch's product, of the input as it is or quantized and decoded (ablations).
std::vector<at::Tensor> float_products(const at::Tensor& x, std::initializer_list<BitLinear> layers,
                                       const LinearSlot& slot, runtime::ZeroCount* zeros) {
  const at::Tensor input = ops::fake_quant(kept(x, slot), slot.input);
  if (zeros != nullptr && slot.input != quant::Scheme::fp)
    zeros->add(input.numel() - input.count_nonzero().item<std::int64_t>(), input.numel());
  std::vector<at::Tensor> outputs;
  for (const BitLinear& layer : layers) {
    outputs.push_back(at::linear(input, layer->weight.to(input.scalar_type())));
    if (outputs.back().requires_grad()) ops::note_saved(layer->name + "/input", input);
    if (outputs.back().requires_grad()) ops::note_saved(layer->name + "/weight", layer->weight);
  }
  return outputs;
}

std::vector<at::Tensor> eager_products(const at::Tensor& x, std::initializer_list<BitLinear> layers,
                                       const LinearSlot& slot) {
  const at::Tensor input = eager_fake_quant(x, slot.input, slot.keep);
  std::vector<at::Tensor> outputs;
  for (const BitLinear& layer : layers)
    outputs.push_back(at::linear(input, eager_ternary(layer->weight).to(input.scalar_type())));
  return outputs;
}

/// Where one product can take them all.
bool have_codes_together(std::initializer_list<BitLinear> layers) {
  const ops::TernaryWeight* before = nullptr;
  for (BitLinear layer : layers) {
    if (!layer->has_codes()) return false;
    if (before != nullptr && !layer->ternary().follows(*before)) return false;
    before = &layer->ternary();
  }
  return true;
}

std::vector<ops::LinearWeight> weights_of(std::initializer_list<BitLinear> layers) {
  if (!have_codes_together(layers)) {
    std::vector<at::Tensor> masters;
    for (const BitLinear& layer : layers) masters.push_back(layer->weight);
    const std::vector<ops::TernaryWeight> codes = ops::ternarize(masters);
    auto next = codes.begin();
    for (BitLinear layer : layers) layer->set_codes(*next++);
  }
  std::vector<ops::LinearWeight> weights;
  for (BitLinear layer : layers) weights.push_back({layer->weight, layer->ternary(), layer->name});
  return weights;
}

/// Codes on both sides of the product.
bool is_integer(const LinearSlot& slot) { return slot.ternary_weight && slot.input != quant::Scheme::fp; }

/// How the input that `layer` shares is quantized, normed first where there is a norm.
ops::LinearInput input_of(const BitLinear& layer, const LinearSlot& slot, const RMSNorm& norm) {
  ops::LinearInput input{.scheme = slot.input, .keep = slot.keep, .backward = layer->backward()};
  if (norm) {
    input.gain = norm->weight;
    input.eps = norm->eps();
  }
  return input;
}

std::vector<at::Tensor> products(const at::Tensor& x, std::initializer_list<BitLinear> layers,
                                 const LinearSlot& slot, runtime::ZeroCount* zeros, RMSNorm norm) {
  if (norm && !is_integer(slot)) return products(norm(x), layers, slot, zeros, nullptr);
  if (!slot.ternary_weight) return float_products(x, layers, slot, zeros);
  if ((*layers.begin())->eager()) return eager_products(norm ? norm(x) : x, layers, slot);
  const std::vector<ops::LinearWeight> weights = weights_of(layers);
  if (slot.input == quant::Scheme::fp) return ops::ternary_linear(kept(x, slot), weights);
  std::int64_t zero_codes = 0;
  ops::LinearInput input = input_of(*layers.begin(), slot, norm);
  if (zeros != nullptr) input.zero_codes = &zero_codes;
  std::vector<at::Tensor> outputs = ops::bit_linear(x, weights, input);
  if (zeros != nullptr) zeros->add(zero_codes, x.numel());
  return outputs;
}

}  // namespace

BitLinearImpl::BitLinearImpl(std::int64_t in_features, std::int64_t out_features, torch::Device device) {
  A48_CHECK(in_features > 0 && out_features > 0, ErrorKind::config, "BitLinear: ", in_features, " x ",
            out_features, "; both sizes are at least 1");
  weight = register_parameter("weight", torch::zeros({out_features, in_features}, device));
}

at::Tensor BitLinearImpl::forward(const at::Tensor& x) {
  // A handle that shares ownership with whoever holds this module.
  const BitLinear self(std::dynamic_pointer_cast<BitLinearImpl>(shared_from_this()));
  return shared_input(x, {self}).front();
}

const ops::TernaryWeight& BitLinearImpl::ternary() {
  if (!has_codes()) set_codes(ops::ternarize(weight));
  return cache_;
}

bool BitLinearImpl::has_codes() const {
  return cache_.defined() && ops::on_device(weight) == cache_.padded.defined() &&
         version() == cached_version_;
}

void BitLinearImpl::set_codes(ops::TernaryWeight codes) {
  cache_ = std::move(codes);
  cached_version_ = version();
}

std::int64_t BitLinearImpl::version() const {
  return weight.is_inference() ? 0 : static_cast<std::int64_t>(weight._version());
}

std::vector<at::Tensor> shared_input(const at::Tensor& x, std::initializer_list<BitLinear> layers,
                                     runtime::ZeroCount* zeros, RMSNorm norm) {
  return products(x, layers, (*layers.begin())->slot(), zeros, std::move(norm));
}

at::Tensor recomputed_glu(const at::Tensor& x, BitLinear gate, BitLinear up, kernels::GluKind kind,
                          RMSNorm norm) {
  const LinearSlot& slot = gate->slot();
  if (!is_integer(slot) || gate->eager()) {
    const std::vector<at::Tensor> y = shared_input(x, {gate, up}, nullptr, std::move(norm));
    return ops::glu(y[0], y[1], kind);
  }
  ops::LinearInput input = input_of(gate, slot, norm);
  input.glu = kind;
  return ops::bit_linear(x, weights_of({gate, up}), input).front();
}

}  // namespace a48::nn
