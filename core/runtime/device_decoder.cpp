// The network on the rows of a GPU: what goes on the stream, in order, and what the host reads afterwards.
#include "core/runtime/device_decoder.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/rope_table.h"
#include "core/quant/topk.h"

namespace a48::runtime {
namespace {

namespace cuda = kernels::cuda;

/// Steps of a layer whose rows may turn out not to be finite, in their order.
enum LayerStep : std::int64_t { kQkv, kOut, kGateUp, kDown, kLayerSteps };
constexpr const char* kLinear[kLayerSteps] = {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj",
                                              "mlp.down_proj"};
/// Places of zeros_.
enum Zeros : std::int64_t { kZerosQkv, kZerosOut, kZerosGate, kZerosDown, kZerosGateOutput, kZeroCounts };

/// Rows of a prefill attend a few at a time, within this much scratch.
constexpr std::int64_t kAttentionScratch = std::int64_t{64} << 20;
constexpr std::int64_t kFloatBytes = sizeof(float);

/// Rows start at multiples of 16 bytes.
std::int64_t stride_of(std::int64_t width) { return cuda::round_up(width, 4); }

std::int64_t widest(const config::Model& m) { return std::max(m.hidden_size, m.intermediate_size); }
std::int64_t qkv_width(const config::Model& m) { return m.hidden_size + 2 * m.kv_heads() * m.head_dim(); }

/// Columns begin … of the rows.
template <typename T>
Rows<T> columns(Rows<T> rows, std::int64_t begin, std::int64_t count) {
  return {rows.data + begin, rows.rows, count, rows.stride};
}
template <typename T>
Rows<T> some_rows(Rows<T> rows, std::int64_t first, std::int64_t count) {
  return {rows.row(first), count, rows.cols, rows.stride};
}

template <typename T>
void copy_in(cuda::DeviceBuffer<T>& to, const T* from, std::int64_t count, cuda::Stream stream) {
  to = cuda::DeviceBuffer<T>(count);
  cuda::copy_to_device(to.data(), from, to.bytes(), stream);
}

/// What the kernels take; a larger model needs --device cpu.
PackedModel checked(PackedModel model) {
  demand_device();
  const config::Model& m = model.model();
  A48_CHECK(m.head_dim() <= cuda::kMostHeadDim && widest(m) <= cuda::kMostRowWidth, ErrorKind::config,
            model.source(), ": heads of ", m.head_dim(), " and rows of ", widest(m),
            " values; on a GPU up to ", cuda::kMostHeadDim, " and ", cuda::kMostRowWidth,
            " are supported. Use --device cpu");
  const std::int64_t needed = DeviceWeights::bytes_of(model), free = cuda::free_device_memory();
  A48_CHECK(needed <= free, ErrorKind::no_resources, model.source(), ": the weights need ", needed >> 20,
            " MiB of the memory of ", cuda::device_name(), ", of which ", free >> 20,
            " MiB are free; use a GPU with more, or --device cpu");
  return model;
}

}  // namespace

void demand_device() {
  const std::string reason = cuda::no_device_reason();
  A48_CHECK(reason.empty(), ErrorKind::no_resources, "--device cuda: ", reason,
            "; --device cpu works everywhere");
}

DeviceDecoder::DeviceDecoder(PackedModel model, const DecoderOptions& options)
    : model_(checked(std::move(model))),
      serving_(serving_of(model_, options)),
      weights_(model_, stream_.get()),
      cache_(serving_.cache_shape, serving_.cache, serving_.info.max_positions) {
  A48_CHECK(!options.forced, ErrorKind::config, "a density is forced on the CPU only: a GPU skips nothing");
  const config::Model& m = model_.model();
  const kernels::RopeTable rope =
      kernels::build_rope_table(m.max_position_embeddings, m.head_dim(), m.rope_theta);
  copy_in(cos_, rope.cos.data(), rope.cos.size(), stream_.get());
  copy_in(sin_, rope.sin.data(), rope.sin.size(), stream_.get());
  zeros_ = DeviceBuffer<cuda::Counter>(kZeroCounts);
  reset_sparsity();
  cuda::synchronize(stream_.get());
}

// --- Room

void DeviceDecoder::make_room(std::int64_t rows, std::int64_t logits) {
  const config::Model& m = model_.model();
  if (rows > capacity_) {
    capacity_ = rows;
    token_ = {};
    input_ = PinnedBuffer<std::int32_t>(3 * rows);
    device_input_ = DeviceBuffer<std::int32_t>(3 * rows);
    for (DeviceBuffer<float>* buffer : {&x_, &query_, &o_, &y_})
      *buffer = DeviceBuffer<float>(rows * stride_of(m.hidden_size));
    qkv_ = DeviceBuffer<float>(rows * stride_of(qkv_width(m)));
    factor_ = DeviceBuffer<float>(rows * m.num_attention_heads);
    gate_up_ = DeviceBuffer<float>(rows * stride_of(2 * m.intermediate_size));
    codes_ = DeviceBuffer<std::int8_t>(rows * cuda::code_row_bytes(widest(m)));
    step_ = DeviceBuffer<float>(rows);
    code_sum_ = DeviceBuffer<std::int32_t>(rows);
    const std::int64_t of_row = m.num_hidden_layers * (4 + kLayerSteps) + 1;
    device_status_ = DeviceBuffer<std::uint8_t>(rows * of_row);
    status_ = PinnedBuffer<std::uint8_t>(rows * of_row);
  }
  if (logits > logits_capacity_) {
    logits_capacity_ = logits;
    token_ = {};
    logits_ = {};
    logits_ = PinnedBuffer<float>(logits * info().vocab_size);
    device_logits_ = {};
    device_logits_ = DeviceBuffer<float>(std::min(logits, kBlockRows) * info().vocab_size);
  }
  const std::int64_t of_row =
      cuda::attention_scratch_bytes(1, m.num_attention_heads, cache_.chunks(), m.head_dim());
  const std::int64_t scratch =
      of_row * std::max(std::int64_t{1}, std::min(kAttentionScratch / of_row, capacity_));
  if (scratch > attention_scratch_.size()) {
    token_ = {};
    attention_scratch_ = {};
    attention_scratch_ = DeviceBuffer<std::uint8_t>(scratch);
  }
}

Rows<float> DeviceDecoder::rows_of(const DeviceBuffer<float>& buffer, std::int64_t width) const {
  return {buffer.data(), rows_, width, stride_of(width)};
}

Rows<std::int8_t> DeviceDecoder::codes_of(std::int64_t rows, std::int64_t width) const {
  return {codes_.data(), rows, width, cuda::code_row_bytes(width)};
}

// Status: 32-bit flags of the cache [layers, R], then a byte of each quantized row [layers, kLayerSteps, R],
// then those of the head [R].

std::uint8_t* DeviceDecoder::status_of(std::int64_t step) const {
  return device_status_.data() + (4 * model_.model().num_hidden_layers + step) * rows_;
}

std::int64_t DeviceDecoder::status_bytes() const {
  return (model_.model().num_hidden_layers * (4 + kLayerSteps) + 1) * rows_;
}

// --- A call

Rows<const float> DeviceDecoder::feed(std::span<const TokenInput> tokens) {
  check_tokens(info(), tokens, cache_.lengths());
  const std::int64_t wanted =
      std::count_if(tokens.begin(), tokens.end(), [](const TokenInput& token) { return token.wants_logits; });
  make_room(std::min(std::ssize(tokens), static_cast<std::ptrdiff_t>(kBlockRows)), wanted);
  std::int64_t written = 0;
  for (std::size_t begin = 0; begin < tokens.size(); begin += kBlockRows) {
    run_block(tokens.subspan(begin, std::min<std::size_t>(kBlockRows, tokens.size() - begin)), written);
    written += std::ssize(wanted_);
  }
  return {logits_.data(), wanted, info().vocab_size};
}

void DeviceDecoder::run_block(std::span<const TokenInput> tokens, std::int64_t written) {
  rows_ = std::ssize(tokens);
  row_sequence_.clear();
  wanted_.clear();
  for (std::int64_t r = 0; r < rows_; ++r) {
    const TokenInput& token = tokens[static_cast<std::size_t>(r)];
    input_.data()[r] = token.id;
    input_.data()[rows_ + r] = token.sequence;
    row_sequence_.push_back(token.sequence);
    if (token.wants_logits) wanted_.push_back(r);
  }
  cache_.append(row_sequence_, input_.data() + 2 * rows_, stream_.get());
  make_room(rows_, written + std::ssize(wanted_));  // of longer sequences

  if (rows_ == 1 && wanted_.size() == 1) {
    if (!token_.is_recorded() || token_revision_ != cache_.revision()) {
      token_ = {};
      token_ = cuda::Graph(stream_.get(), [this] { put_block(0); });
      token_revision_ = cache_.revision();
    }
    token_.start(stream_.get());
  } else {
    put_block(written);
  }
  cuda::synchronize(stream_.get());
  counted_rows_ += rows_;
  check_block(written);
}

// --- What goes on the stream; nothing here may depend on a token but through device memory.

void DeviceDecoder::put_block(std::int64_t written) {
  const cuda::Stream stream = stream_.get();
  const std::int64_t layers = model_.model().num_hidden_layers;
  cuda::copy_to_device(device_input_.data(), input_.data(), 3 * rows_ * std::int64_t{sizeof(std::int32_t)},
                       stream);
  cuda::clear_on_device(device_status_.data(), status_bytes(), stream);
  cuda::table_cuda().widen_rows(
      {.embedding = weights_.embedding(), .id = ids(), .x = rows_of(x_, model_.model().hidden_size)}, stream);
  for (std::int64_t layer = 0; layer < layers; ++layer) put_layer(layer);
  std::int64_t done = 0;
  for (std::size_t i = 0; i < wanted_.size();) {  // runs of neighbours
    std::size_t end = i + 1;
    while (end < wanted_.size() && wanted_[end] == wanted_[end - 1] + 1) ++end;
    put_head(wanted_[i], static_cast<std::int64_t>(end - i), done);
    done += static_cast<std::int64_t>(end - i);
    i = end;
  }
  const std::int64_t vocabulary = info().vocab_size;
  if (done > 0)
    cuda::copy_to_host(logits_.data() + written * vocabulary, device_logits_.data(),
                       done * vocabulary * kFloatBytes, stream);
  cuda::copy_to_host(status_.data(), device_status_.data(), status_bytes(), stream);
}

// x += o_proj(sub_norm(attention(q, k, v))), then x += down_proj(sub_norm(act(gate) ⊙ up))
void DeviceDecoder::put_layer(std::int64_t layer) {
  const config::Model& m = model_.model();
  const DeviceLayer& w = weights_.layers()[static_cast<std::size_t>(layer)];
  const std::int64_t width = m.hidden_size, inner = m.intermediate_size, steps = layer * kLayerSteps;
  const Rows<float> x = rows_of(x_, width), o = rows_of(o_, width);
  const Rows<float> qkv = rows_of(qkv_, qkv_width(m)), gate_up = rows_of(gate_up_, 2 * inner);

  put_quantized(x, w.input_layernorm, serving_.qkv, status_of(steps + kQkv), zeros_.data() + kZerosQkv);
  put_product(w.qkv, qkv, false);
  put_attention(layer, qkv, o);
  put_quantized(o, w.attn_sub_norm, serving_.o, status_of(steps + kOut), zeros_.data() + kZerosOut);
  put_product(w.o, x, true);

  put_quantized(x, w.post_attention_layernorm, serving_.gate_up, status_of(steps + kGateUp),
                zeros_.data() + kZerosGate);
  put_product(w.gate_up, gate_up, false);
  put_down_input(gate_up, w.ffn_sub_norm, status_of(steps + kDown));
  put_product(w.down, x, true);
}

namespace {

/// Codes of RMSNorm(x) with `gain`, or of x.
cuda::QuantizeArgs quantize_args(Rows<const float> x, const float* gain, double eps, const InputSlot& slot) {
  cuda::QuantizeArgs args;
  args.x = x;
  args.gain = gain;
  args.eps = eps;
  args.scheme = slot.scheme;
  args.keep = slot.keep < 1.0 ? quant::topk_count(slot.keep, x.cols) : 0;
  return args;
}

}  // namespace

void DeviceDecoder::put_quantized(Rows<const float> x, const float* gain, const InputSlot& slot,
                                  std::uint8_t* status, cuda::Counter* zeros) {
  cuda::QuantizeArgs args = quantize_args(x, gain, model_.model().rms_norm_eps, slot);
  args.zeros = zeros;
  put_codes(args, status);
}

/// Of act(gate) ⊙ up, which is not written anywhere.
void DeviceDecoder::put_down_input(Rows<const float> gate_up, const float* gain, std::uint8_t* status) {
  const config::Model& m = model_.model();
  const std::int64_t inner = m.intermediate_size;
  cuda::QuantizeArgs args = quantize_args(columns(gate_up, 0, inner), gain, m.rms_norm_eps, serving_.down);
  args.up = columns(gate_up, inner, inner);
  args.glu = m.hidden_act == config::Activation::relu2 ? kernels::GluKind::relu2 : kernels::GluKind::silu;
  args.zeros = zeros_.data() + kZerosDown;
  args.closed = zeros_.data() + kZerosGateOutput;
  put_codes(args, status);
}

void DeviceDecoder::put_codes(cuda::QuantizeArgs& args, std::uint8_t* status) {
  args.codes = codes_of(args.x.rows, args.x.cols);
  args.step = step_.data();
  args.code_sum = code_sum_.data();
  args.status = status;
  cuda::table_cuda().quantize_rows(args, stream_.get());
}

/// One row by G4, which can add to y itself; several by G3.
void DeviceDecoder::put_product(const cuda::TernaryOperand& weight, Rows<float> y, bool add) {
  const cuda::CudaTable& table = cuda::table_cuda();
  const Rows<const std::int8_t> codes = codes_of(rows_, weight.inputs);
  if (rows_ == 1) {
    table.gemv_ternary({.codes = codes.data,
                        .step = step_.data(),
                        .code_sum = code_sum_.data(),
                        .weight = weight,
                        .y = y.data,
                        .accumulate = add},
                       stream_.get());
    return;
  }
  const Rows<float> product = add ? rows_of(y_, weight.outputs) : y;
  table.gemm_ternary(
      {.codes = codes, .step = step_.data(), .code_sum = code_sum_.data(), .weight = weight, .y = product},
      stream_.get());
  if (add) table.add_rows({.y = product, .x = y}, stream_.get());
}

void DeviceDecoder::put_attention(std::int64_t layer, Rows<float> qkv, Rows<float> y) {
  const config::Model& m = model_.model();
  const std::int64_t width = m.hidden_size, kv_width = m.kv_heads() * m.head_dim();
  const std::int64_t heads = m.num_attention_heads, half = m.head_dim() / 2;
  const Rows<float> query = {query_.data(), rows_, width}, factor = {factor_.data(), rows_, heads};
  cuda::table_cuda().store_cache_rows(
      {.pages = cache_.pages(layer, sequences(), positions()),
       .q_bits = serving_.cache.q_bits,
       .q = columns(qkv, 0, width),
       .k = columns(qkv, width, kv_width),
       .v = columns(qkv, width + kv_width, kv_width),
       .cos = {cos_.data(), info().max_positions, half},
       .sin = {sin_.data(), info().max_positions, half},
       .query = query,
       .factor = factor,
       .status = reinterpret_cast<std::uint32_t*>(device_status_.data()) + layer * rows_},
      stream_.get());
  const std::int64_t at_once =
      attention_scratch_.size() / cuda::attention_scratch_bytes(1, heads, cache_.chunks(), m.head_dim());
  for (std::int64_t first = 0; first < rows_; first += at_once) {
    const std::int64_t count = std::min(at_once, rows_ - first);
    cuda::table_cuda().attention_cache_rows(
        {.pages = cache_.pages(layer, sequences() + first, positions() + first),
         .heads = heads,
         .query = some_rows(query, first, count),
         .factor = some_rows(factor, first, count),
         .y = some_rows(y, first, count),
         .chunks = cache_.chunks(),
         .scratch = attention_scratch_.data()},
        stream_.get());
  }
}

/// Logits of `count` rows from `first` on, as rows `to` … of device_logits_.
void DeviceDecoder::put_head(std::int64_t first, std::int64_t count, std::int64_t to) {
  const config::Model& m = model_.model();
  const std::int64_t width = m.hidden_size, vocabulary = info().vocab_size;
  const kernels::HeadWeight& head = weights_.head();
  const Rows<float> x = some_rows(rows_of(x_, width), first, count);
  cuda::HeadArgs args;
  args.weight = head;
  args.logits = {device_logits_.data() + to * vocabulary, count, vocabulary};
  if (head.kind == kernels::HeadClass::f32 || head.kind == kernels::HeadClass::bf16) {
    const Rows<float> normed{y_.data(), count, width, stride_of(width)};
    cuda::table_cuda().rms_norm_rows(
        {.x = Rows<const float>(x), .gain = weights_.final_norm(), .eps = m.rms_norm_eps, .y = normed},
        stream_.get());
    args.x = normed;
  } else {
    put_quantized(x, weights_.final_norm(), {quant::Scheme::int8, 1.0},
                  status_of(m.num_hidden_layers * kLayerSteps) + to, nullptr);
    args.codes = codes_of(count, width);
    args.step = step_.data();
  }
  cuda::table_cuda().packed_head_rows(args, stream_.get());
}

// --- What came back

RowPlace DeviceDecoder::place_of(std::int64_t row) const {
  return {input_.data()[rows_ + row], input_.data()[2 * rows_ + row]};
}

/// The first step of the first layer that met a number that is not finite, as the CPU would have stopped
/// there.
void DeviceDecoder::check_block(std::int64_t written) const {
  const std::int64_t layers = model_.model().num_hidden_layers;
  const auto* flags = reinterpret_cast<const std::uint32_t*>(status_.data());
  const std::uint8_t* steps = status_.data() + 4 * layers * rows_;
  const auto check_step = [&](std::int64_t layer, LayerStep step) {
    const std::uint8_t* status = steps + (layer * kLayerSteps + step) * rows_;
    const std::int64_t bad = std::find(status, status + rows_, kernels::kRowNonFinite) - status;
    if (bad < rows_) fail_non_finite(info(), linear_input(layer, kLinear[step]), place_of(bad));
  };
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    check_step(layer, kQkv);
    for (std::int64_t r = 0; r < rows_; ++r)
      for (const std::uint8_t what :
           {kernels::kKeyNonFinite, kernels::kValueNonFinite, kernels::kQueryNonFinite})
        if ((flags[layer * rows_ + r] >> what & 1u) != 0)
          fail_cache_row(what, serving_.cache, layer, place_of(r).sequence, place_of(r).position);
    check_step(layer, kOut);
    check_step(layer, kGateUp);
    check_step(layer, kDown);
  }
  // A row of the head that is not finite has a step of its own for i8, i6, i4: their logits would be finite.
  const std::uint8_t* head = steps + layers * kLayerSteps * rows_;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const float* logits = logits_.data() + (written + static_cast<std::int64_t>(i)) * info().vocab_size;
    if (head[i] != kernels::kRowFinite || !all_finite(logits, info().vocab_size))
      fail_non_finite(info(), "lm_head output", place_of(wanted_[i]));
  }
}

// --- Counts

void DeviceDecoder::reset_sparsity() {
  counted_rows_ = 0;
  cuda::clear_on_device(zeros_.data(), zeros_.bytes(), stream_.get());
}

SparsityCounts DeviceDecoder::counts() const {
  cuda::Counter zeros[kZeroCounts];
  cuda::copy_to_host(zeros, zeros_.data(), zeros_.bytes(), stream_.get());
  cuda::synchronize(stream_.get());
  const config::Model& m = model_.model();
  const std::int64_t rows = counted_rows_ * m.num_hidden_layers;
  const auto count = [&](Zeros place, std::int64_t width) {
    return ZeroCount{static_cast<std::int64_t>(zeros[place]), rows * width};
  };
  return {count(kZerosQkv, m.hidden_size), count(kZerosOut, m.hidden_size), count(kZerosGate, m.hidden_size),
          count(kZerosDown, m.intermediate_size), count(kZerosGateOutput, m.intermediate_size)};
}

std::int64_t DeviceDecoder::kernels_of_token() const {
  constexpr std::int64_t kOfLayer = 11;  // four inputs, four products, store, attention, merge
  constexpr std::int64_t kOthers = 3;    // embedding, norm or codes of the head's input, head
  return model_.model().num_hidden_layers * kOfLayer + kOthers;
}

}  // namespace a48::runtime
