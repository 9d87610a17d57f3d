// The decoder on a GPU, or on the host's stand-in for one, against the CPU's: every logit of every token has
// the same bits, whether it comes from a prefill, a batch, or the recorded graph of one token.
#include "core/runtime/device_decoder.h"

#include <algorithm>
#include <utility>

#include "core/runtime/decoder.h"
#include "core/runtime/synthetic_model.h"
#include "tests/core/runtime/small_model.h"
#include "tests/support/cuda_orders.h"
#include "tests/support/errors.h"
#include "tests/support/kernel_test.h"

namespace a48::runtime {
namespace {

std::int32_t random_id(std::uint64_t stream, std::int64_t t) {
  return static_cast<std::int32_t>(random_bits(test::seed(), stream, static_cast<std::uint64_t>(t)) %
                                   static_cast<std::uint64_t>(kSmallVocabulary));
}

using Call = std::vector<TokenInput>;

/// Calls as generation makes them: a prompt in two parts, then tokens one by one; a second sequence beside it
/// for a while.
std::vector<Call> calls(std::int64_t prompt, int decoded) {
  std::vector<Call> all;
  Call first;
  for (std::int64_t t = 0; t < prompt; ++t) {
    first.push_back({0, random_id(1, t), t == prompt - 1 || t % 3 == 1});
    if (t < 4) first.push_back({1, random_id(2, t), t == 3});
  }
  all.push_back(first);
  all.push_back({{0, random_id(3, 0), false}});
  for (int t = 0; t < 2; ++t) all.push_back({{1, random_id(4, t), true}, {0, random_id(5, t), true}});
  for (int t = 0; t < decoded; ++t) all.push_back({{0, random_id(6, t), true}});
  all.push_back({{1, random_id(7, 0), true}});  // the graph of another sequence and position
  return all;
}

std::vector<float> logits_of(LanguageModel& model, const std::vector<Call>& calls) {
  model.start(2);
  std::vector<float> all;
  for (const Call& call : calls) {
    const Rows<const float> logits = model.feed(call);
    all.insert(all.end(), logits.data, logits.data + logits.rows * logits.cols);
  }
  return all;
}

bool same_counts(const SparsityCounts& a, const SparsityCounts& b) {
  const auto same = [](const ZeroCount& x, const ZeroCount& y) {
    return x.zeros == y.zeros && x.total == y.total;
  };
  return same(a.qkv, b.qkv) && same(a.out, b.out) && same(a.gate, b.gate) && same(a.down, b.down) &&
         same(a.gate_output, b.gate_output);
}

void check(const PackRequest& request, const DecoderOptions& options, const std::vector<Call>& calls) {
  const Buffer<std::byte> bytes = pack_model(request, synthetic_weights(request.model, 5));
  const auto model = [&] { return PackedModel::of_bytes(bytes.span(), "test", Verify::structure); };
  Decoder cpu(model(), options);
  const std::vector<float> expected = logits_of(cpu, calls);
  INFO("mode " << request.mode << ", head " << static_cast<int>(request.head) << ", kv_bits "
               << cpu.cache().format().kv_bits << ", q_bits " << cpu.cache().format().q_bits);
  bool is_first = true;
  test::on_every_order([&] {
    DeviceDecoder device(model(), options);
    CHECK(test::first_difference(logits_of(device, calls), expected) == "");
    CHECK(same_counts(device.counts(), cpu.counts()));
    if (!std::exchange(is_first, false)) return;
    device.reset_sparsity();
    CHECK(test::first_difference(logits_of(device, calls), expected) == "");  // graph and storage kept
    CHECK(same_counts(device.counts(), cpu.counts()));
  });
}

}  // namespace

TEST_CASE("X3: prefill, batch and recorded decode have the CPU's bits: every mode, head class, grouping") {
  check(request_for(quant::Mode::a8), {}, calls(7, 10));
  check(request_for(quant::Mode::a4_8), {}, calls(7, 10));
  PackRequest request = request_for(quant::Mode::a4_8_fp4);
  request.model.num_key_value_heads = 2;
  request.model.tie_word_embeddings = true;
  request.head = kernels::HeadClass::f32;
  check(request, {}, calls(7, 10));
  request.head = kernels::HeadClass::i8;
  request.model.hidden_act = config::Activation::silu;
  check(request, {}, calls(5, 3));
  request.head = kernels::HeadClass::i6;
  request.model.num_key_value_heads = 1;
  request.model.sub_norm = false;
  request.qkv_gate_layout = quant::TernaryLayout::t2_row;
  check(request, {}, calls(5, 3));
  request.head = kernels::HeadClass::i4;
  check(request, {}, calls(5, 3));
}

TEST_CASE("X3: every cache format decodes with the CPU's bits") {
  const CacheFormat formats[] = {{16, 4, 16}, {4, 4, 16}, {4, 4, 8}, {4, 4, 4},
                                 {3, 4, 16},  {3, 4, 8},  {3, 4, 4}, {3, 3, 16}};
  for (const CacheFormat& format : formats) {
    DecoderOptions options;
    options.cache = format;
    check(request_for(quant::Mode::a4_8), options, calls(5, 4));
  }
}

TEST_CASE("X3: a sequence that grows across a chunk of 256 while it is decoded: the graph follows") {
  DecoderOptions options;
  options.cache = CacheFormat{3, 4, 16};
  PackRequest request = request_for(quant::Mode::a4_8);
  request.model.num_hidden_layers = 1;
  request.model.num_attention_heads = 2;
  check(request, options, calls(250, 5));
}

TEST_CASE("a model that is not finite, ids and lengths out of range are the CPU's errors") {
  PackRequest request = request_for(quant::Mode::a4_8);
  request.model.max_position_embeddings = 6;
  const auto source = synthetic_weights(request.model, 5);
  Buffer<float> overflowing(request.model.vocab_size * request.model.hidden_size);
  const Buffer<std::byte> bytes = pack_model(request, [&](const std::string& name) {
    const Rows<const float> values = source(name);
    if (name != "lm_head.weight") return values;
    std::fill_n(overflowing.data(), overflowing.size(), 3e38f);  // logits that overflow
    return Rows<const float>(overflowing.data(), values.rows, values.cols);
  });
  const auto model = [&] { return PackedModel::of_bytes(bytes.span(), "test", Verify::structure); };
  const std::vector<Call> bad{{{0, 3, true}},
                              {{0, static_cast<std::int32_t>(kSmallVocabulary), false}},
                              Call(7, TokenInput{0, 1, false})};
  std::vector<std::string> expected;
  for (const Call& call : bad) {
    Decoder cpu(model());
    cpu.start(1);
    expected.push_back(test::message_of_error([&] { cpu.feed(call); }));
  }
  test::on_every_order([&] {
    for (std::size_t i = 0; i < bad.size(); ++i) {
      DeviceDecoder device(model());
      device.start(1);
      CHECK(test::message_of_error([&] { device.feed(bad[i]); }) == expected[i]);
    }
  });
}

}  // namespace a48::runtime
