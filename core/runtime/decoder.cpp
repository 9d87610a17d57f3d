// The network on rows: hop 3 of the inference walk, the algebra of modules/block.cpp. Next: linear.cpp.
#include "core/runtime/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace a48::runtime {
namespace {

std::int64_t widest(const config::Model& model) {
  return std::max(model.hidden_size, model.intermediate_size);
}

void count_zeros(const QuantizedInput& input, ZeroCount& zeros) {
  zeros.add(kernels::count_zero_codes(input.codes()), input.rows() * input.width());
}

/// Values of the gate's activation that are zero: ReLU²(z) = 0 for z <= 0, silu(z) = 0 for z = 0.
void count_closed(Rows<const float> gate, bool relu2, ZeroCount& closed) {
  const float* end = gate.data + gate.rows * gate.cols;
  closed.add(std::count_if(gate.data, end, [relu2](float z) { return relu2 ? !(z > 0.0f) : z == 0.0f; }),
             gate.rows * gate.cols);
}

}  // namespace

/// Codes and gates with a given share of work, the same for every layer and token.
struct Decoder::Forced {
  Buffer<std::int8_t> out, down;   // [D], [F]
  std::vector<std::int32_t> open;  // gates, ascending

  Forced(const ForcedDensity& density, const config::Model& model)
      : out(codes(model.hidden_size, density.out, "out")),
        down(codes(model.intermediate_size, density.down, "down")) {
    for (std::int64_t i = 0; i < model.intermediate_size; ++i)
      if (random_uniform(stream_of("density"), stream_of("up"), static_cast<std::uint64_t>(i)) < density.up)
        open.push_back(static_cast<std::int32_t>(i));
  }

  static Buffer<std::int8_t> codes(std::int64_t width, double density, const char* name) {
    Buffer<std::int8_t> codes(width);
    for (std::int64_t i = 0; i < width; ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      if (random_uniform(stream_of("density"), stream_of(name), at) >= density) continue;
      const auto bits = random_bits(stream_of("codes"), stream_of(name), at);
      const int magnitude = 1 + static_cast<int>(bits % 127);
      codes[i] = static_cast<std::int8_t>((bits >> 32) % 2 == 0 ? magnitude : -magnitude);
    }
    return codes;
  }

  static void put(const Buffer<std::int8_t>& from, QuantizedInput& input) {
    std::copy(from.data(), from.data() + from.size(), input.codes().row(0));
    input.sum_again();
  }
};

Decoder::Decoder(PackedModel model, const DecoderOptions& options)
    : model_(std::move(model)),
      options_(options),
      serving_(serving_of(model_, options)),
      rope_(kernels::build_rope_table(model_.model().max_position_embeddings, model_.model().head_dim(),
                                      model_.model().rope_theta)),
      cache_(serving_.cache_shape, serving_.cache),
      scratch_(widest(model_.model())) {
  const config::Model& shape = model_.model();
  if (options.forced) forced_ = std::make_unique<Forced>(*options.forced, shape);
  make_room(1);
}

Decoder::~Decoder() = default;

std::int64_t Decoder::activation_bytes() const {
  const config::Model& m = model_.model();
  const std::int64_t width = 5 * m.hidden_size + 2 * m.kv_heads() * m.head_dim() + 3 * m.intermediate_size;
  return capacity_ * (width * std::int64_t{sizeof(float)} + padded_width(widest(m))) +
         logits_.size() * std::int64_t{sizeof(float)} + head_codes_.size() +
         2 * rope_.cos.size() * std::int64_t{sizeof(float)};
}

void Decoder::make_room(std::int64_t rows) {
  rows_ = rows;
  if (rows <= capacity_) return;
  const config::Model& m = model_.model();
  capacity_ = rows;
  for (Buffer<float>* buffer : {&x_, &normed_, &q_, &o_, &hidden_})
    *buffer = Buffer<float>(rows * m.hidden_size);
  for (Buffer<float>* buffer : {&k_, &v_}) *buffer = Buffer<float>(rows * m.kv_heads() * m.head_dim());
  for (Buffer<float>* buffer : {&gate_, &up_, &f_}) *buffer = Buffer<float>(rows * m.intermediate_size);
  head_codes_ = Buffer<std::int8_t>(rows * padded_width(m.hidden_size));
  sequence_.reserve(static_cast<std::size_t>(rows));
  position_.reserve(static_cast<std::size_t>(rows));
}

Rows<float> Decoder::rows_of(Buffer<float>& buffer, std::int64_t width) {
  return {buffer.data(), rows_, width};
}

Rows<const float> Decoder::feed(std::span<const TokenInput> tokens) {
  check_tokens(info(), tokens, cache_.lengths());
  const std::int64_t vocabulary = info().vocab_size;
  const std::int64_t wanted =
      std::count_if(tokens.begin(), tokens.end(), [](const TokenInput& token) { return token.wants_logits; });
  if (logits_.size() < wanted * vocabulary) {
    logits_ = Buffer<float>();
    logits_ = Buffer<float>(wanted * vocabulary);
  }
  std::int64_t written = 0;
  for (std::size_t begin = 0; begin < tokens.size(); begin += kBlockRows) {
    run_block(tokens.subspan(begin, std::min<std::size_t>(kBlockRows, tokens.size() - begin)));

    const std::int64_t width = model_.model().hidden_size;
    std::int64_t count = 0;
    for (std::int64_t r = 0; r < rows_; ++r) {
      if (!tokens_[static_cast<std::size_t>(r)].wants_logits) continue;
      const float* row = x_.data() + r * width;
      std::copy(row, row + width, normed_.data() + count++ * width);
    }
    if (count == 0) continue;
    const Rows<float> hidden{hidden_.data(), count, width};
    norm({normed_.data(), count, width}, model_.final_norm(), hidden);
    const Rows<float> logits{logits_.data() + written * vocabulary, count, vocabulary};
    kernels::packed_head_rows({.x = hidden,
                               .weight = model_.head(),
                               .codes = {head_codes_.data(), count, padded_width(width)},
                               .logits = logits});
    for (std::int64_t r = 0, row = 0; r < rows_; ++r) {
      if (tokens_[static_cast<std::size_t>(r)].wants_logits && !all_finite(logits.row(row++), vocabulary))
        fail_non_finite(r, "lm_head output");
    }
    written += count;
  }
  return {logits_.data(), wanted, vocabulary};
}

void Decoder::run_block(std::span<const TokenInput> tokens) {
  make_room(std::ssize(tokens));
  tokens_ = tokens;
  sequence_.clear();
  for (const TokenInput& token : tokens) sequence_.push_back(token.sequence);
  position_.resize(tokens.size());
  cache_.append(sequence_, position_.data());

  const std::int64_t width = model_.model().hidden_size;
  for (std::int64_t r = 0; r < rows_; ++r)
    kernels::widen_row(model_.embedding(), tokens[static_cast<std::size_t>(r)].id, x_.data() + r * width);
  for (std::int64_t layer = 0; layer < model_.model().num_hidden_layers; ++layer) {
    attention(layer);
    feed_forward(layer);
  }
}

// x += o_proj(sub_norm(attention(q, k, v)))
void Decoder::attention(std::int64_t layer) {
  const config::Model& m = model_.model();
  const PackedLayer& w = model_.layers()[static_cast<std::size_t>(layer)];
  const std::int64_t width = m.hidden_size, kv_width = m.kv_heads() * m.head_dim();
  const Rows<float> x = rows_of(x_, width), o = rows_of(o_, width);
  const Rows<float> q = rows_of(q_, width), k = rows_of(k_, kv_width), v = rows_of(v_, kv_width);

  quantize(hidden_input_, x, w.input_layernorm, serving_.qkv, layer, "self_attn.q_proj");
  count_zeros(hidden_input_, counts_.qkv);
  if (one_token()) {
    multiply_token(hidden_input_, {&w.q, &w.k, &w.v}, {q.data, k.data, v.data});
  } else {
    hidden_input_.multiply(w.q, q);
    hidden_input_.multiply(w.k, k);
    hidden_input_.multiply(w.v, v);
  }
  const Rows<const float> cos = rope_.cos.rows(rope_.positions, rope_.half);
  const Rows<const float> sin = rope_.sin.rows(rope_.positions, rope_.half);
  kernels::rope_rows({q, q, position_.data(), m.num_attention_heads, m.head_dim(), cos, sin});
  kernels::rope_rows({k, k, position_.data(), m.kv_heads(), m.head_dim(), cos, sin});
  cache_.attend(layer, q, k, v, o);

  quantize(hidden_input_, o, w.attn_sub_norm, serving_.o, layer, "self_attn.o_proj");
  if (forced_ && one_token()) Forced::put(forced_->out, hidden_input_);
  multiply_columns(hidden_input_, w.o, q, counts_.out);
  add(x, q);
}

// x += down_proj(sub_norm(act(gate) ⊙ up)): gate first, since up is needed only where the gate is open.
void Decoder::feed_forward(std::int64_t layer) {
  const config::Model& m = model_.model();
  const PackedLayer& w = model_.layers()[static_cast<std::size_t>(layer)];
  const std::int64_t width = m.hidden_size, inner = m.intermediate_size;
  const bool relu2 = m.hidden_act == config::Activation::relu2;
  const Rows<float> x = rows_of(x_, width), normed = rows_of(normed_, width);
  const Rows<float> gate = rows_of(gate_, inner), up = rows_of(up_, inner), f = rows_of(f_, inner);

  quantize(hidden_input_, x, w.post_attention_layernorm, serving_.gate_up, layer, "mlp.gate_proj");
  count_zeros(hidden_input_, counts_.gate);
  if (one_token()) {
    multiply_token(hidden_input_, {&w.gate}, {gate.data});
  } else {
    hidden_input_.multiply(w.gate, gate);
  }
  if (one_token() && forced_) {
    scratch_.multiply_rows(hidden_input_, w.up, forced_->open.data(), std::ssize(forced_->open), up.data);
  } else if (one_token() && relu2) {
    const std::int64_t open = scratch_.multiply_open_rows(hidden_input_, w.up, gate.data, up.data);
    counts_.gate_output.add(inner - open, inner);
  } else {
    hidden_input_.multiply(w.up, up);
    count_closed(gate, relu2, counts_.gate_output);
  }
  kernels::glu_rows({relu2 ? kernels::GluKind::relu2 : kernels::GluKind::silu, gate, up, f});

  quantize(inner_input_, f, w.ffn_sub_norm, serving_.down, layer, "mlp.down_proj");
  if (forced_ && one_token()) Forced::put(forced_->down, inner_input_);
  multiply_columns(inner_input_, w.down, normed, counts_.down);
  add(x, normed);
}

void Decoder::norm(Rows<const float> x, const float* gain, Rows<float> y) {
  kernels::rms_norm_rows({x, gain, model_.model().rms_norm_eps, y, nullptr});
}

void Decoder::quantize(QuantizedInput& input, Rows<const float> x, const float* gain, const InputSlot& slot,
                       std::int64_t layer, const char* linear) {
  const std::int64_t bad = input.quantize_normed(x, gain, model_.model().rms_norm_eps, slot);
  if (bad >= 0) fail_non_finite(bad, linear_input(layer, linear));
}

void Decoder::multiply_columns(const QuantizedInput& input, const kernels::TernaryMatrix& matrix,
                               Rows<float> y, ZeroCount& zeros) {
  if (one_token()) {
    const std::int64_t read = scratch_.multiply_columns(input, matrix, y.data);
    zeros.add(input.width() - read, input.width());
  } else {
    input.multiply(matrix, y);
    count_zeros(input, zeros);
  }
}

void Decoder::add(Rows<float> x, Rows<const float> y) {
  for (std::int64_t i = 0; i < x.rows * x.cols; ++i) x.data[i] += y.data[i];
}

void Decoder::fail_non_finite(std::int64_t row, const std::string& where) const {
  const auto r = static_cast<std::size_t>(row);
  runtime::fail_non_finite(info(), where, {tokens_[r].sequence, position_[r]});
}

}  // namespace a48::runtime
