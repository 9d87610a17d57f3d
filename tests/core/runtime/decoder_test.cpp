// The packed runtime on small models with random weights: what is left out, grouped or shared changes no bit.
// That these bits are the trainer's: tests/modules/decoder_parity_test.cpp.
#include "core/runtime/decoder.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "core/runtime/synthetic_model.h"
#include "tests/core/runtime/small_model.h"
#include "tests/support/errors.h"
#include "tests/support/kernel_test.h"

// Every allocation of the program is counted, where glibc's own functions stay reachable behind ours.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define A48_COUNTS_ALLOCATIONS 1
static std::atomic<std::int64_t> allocations{0};
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, bytes);
}
void* realloc(void* pointer, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(pointer, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
}
#endif

namespace a48::runtime {
namespace {

/// A packed model in memory, and decoders over it.
class Packed {
 public:
  explicit Packed(const PackRequest& request)
      : bytes_(pack_model(request, synthetic_weights(request.model, 5))) {}

  Decoder decoder(const DecoderOptions& options = {}) const {
    return Decoder(PackedModel::of_bytes(bytes_.span(), "test", Verify::full), options);
  }

 private:
  Buffer<std::byte> bytes_;
};

std::vector<std::int32_t> random_ids(std::int64_t count, std::uint64_t stream = 1) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(
        static_cast<std::int32_t>(random_bits(test::seed(), stream, static_cast<std::uint64_t>(i)) % 61));
  return ids;
}

/// All logits of one sequence, fed `at_a_time` tokens to a call.
std::vector<float> logits_of(Decoder& decoder, const std::vector<std::int32_t>& ids, std::size_t at_a_time) {
  decoder.start(1);
  std::vector<float> all;
  for (std::size_t begin = 0; begin < ids.size(); begin += at_a_time) {
    std::vector<TokenInput> tokens;
    for (std::size_t t = begin; t < std::min(begin + at_a_time, ids.size()); ++t)
      tokens.push_back({0, ids[t], true});
    const Rows<const float> logits = decoder.feed(tokens);
    all.insert(all.end(), logits.data, logits.data + logits.rows * logits.cols);
  }
  return all;
}

constexpr quant::Mode kModes[] = {quant::Mode::a8, quant::Mode::a4_8, quant::Mode::a4_8_fp4};

TEST_CASE("check 23: prefill of n tokens equals n decode steps, for every kv and q setting, across 256") {
  const std::vector<std::int32_t> ids = random_ids(260);
  const CacheFormat formats[] = {{32, 4, 16}, {16, 4, 16}, {4, 4, 16}, {4, 4, 8},
                                 {4, 4, 4},   {3, 4, 16},  {3, 4, 8},  {3, 4, 4}};
  const Packed packed(request_for(quant::Mode::a4_8));
  for (const CacheFormat& format : formats) {
    INFO("kv_bits " << format.kv_bits << ", q_bits " << format.q_bits);
    DecoderOptions options;
    options.cache = format;
    Decoder decoder = packed.decoder(options);
    const std::vector<float> together = logits_of(decoder, ids, ids.size());
    CHECK(test::first_difference(logits_of(decoder, ids, 1), together) == "");
    CHECK(test::first_difference(logits_of(decoder, ids, 77), together) == "");
  }
}

TEST_CASE(
    "check 26: leaving out closed gates and zero inputs changes no bit, on every level and thread count") {
  const std::vector<std::int32_t> ids = random_ids(12);
  for (const quant::Mode mode : kModes) {
    for (const int kv_heads : {4, 2}) {
      for (const quant::TernaryLayout layout :
           {quant::TernaryLayout::t2_row4, quant::TernaryLayout::t2_row}) {
        PackRequest request = request_for(mode);
        request.model.num_key_value_heads = kv_heads;
        request.qkv_gate_layout = layout;
        const Packed packed(request);
        std::vector<float> expected;
        test::on_every_level(
            [&] {
              DecoderOptions dense;
              dense.skip_zeros = false;
              Decoder with = packed.decoder(), without = packed.decoder(dense);
              const std::vector<float> skipping = logits_of(with, ids, 1);
              CHECK(test::first_difference(skipping, logits_of(without, ids, 1)) == "");
              if (expected.empty()) expected = skipping;
              CHECK(test::first_difference(skipping, expected) == "");
            },
            3);
      }
    }
  }
}

TEST_CASE("check 21, check 39: sequences in one call do not see each other, nor later tokens") {
  const Packed packed(request_for(quant::Mode::a4_8));
  Decoder decoder = packed.decoder();
  std::vector<std::int32_t> a = random_ids(9, 5);
  const std::vector<std::int32_t> b = random_ids(5, 6);
  const std::vector<float> alone_a = logits_of(decoder, a, 9), alone_b = logits_of(decoder, b, 5);
  decoder.start(2);
  std::vector<TokenInput> tokens;
  for (std::size_t t = 0; t < 9; ++t) {  // interleaved, and only the last of each is wanted
    tokens.push_back({1, a[t], t == 8});
    if (t < 5) tokens.push_back({0, b[t], t == 4});
  }
  const Rows<const float> logits = decoder.feed(tokens);
  REQUIRE(logits.rows == 2);
  CHECK(test::first_difference(logits.row(0), alone_b.data() + 4 * 61, 61) == "");
  CHECK(test::first_difference(logits.row(1), alone_a.data() + 8 * 61, 61) == "");

  a.back() = (a.back() + 1) % 61;
  const std::vector<float> changed = logits_of(decoder, a, 9);
  CHECK(test::first_difference(changed.data(), alone_a.data(), 8 * 61) == "");
  CHECK(test::first_difference(changed.data() + 8 * 61, alone_a.data() + 8 * 61, 61) != "");
}

TEST_CASE("a tied head, a silu gate and a model without sub-norms run, one by one as together") {
  for (int variant = 0; variant < 3; ++variant) {
    PackRequest request = request_for(quant::Mode::a8);
    request.model.tie_word_embeddings = variant == 0;
    if (variant == 1) request.model.hidden_act = config::Activation::silu;
    request.model.sub_norm = variant != 2;
    const Packed packed(request);
    Decoder decoder = packed.decoder();
    const std::vector<std::int32_t> ids = random_ids(7);
    CHECK(test::first_difference(logits_of(decoder, ids, 1), logits_of(decoder, ids, 7)) == "");
  }
}

TEST_CASE("check 38: zeros are counted alike one by one and together, and Out holds what TopK drops") {
  const Packed packed(request_for(quant::Mode::a4_8));
  Decoder decoder = packed.decoder();
  const std::vector<std::int32_t> ids = random_ids(40);
  logits_of(decoder, ids, 40);
  const Sparsity together = decoder.sparsity();
  decoder.reset_sparsity();
  logits_of(decoder, ids, 1);
  const Sparsity single = decoder.sparsity();
  CHECK(single.qkv == together.qkv);
  CHECK(single.out == together.out);
  CHECK(single.gate == together.gate);
  CHECK(single.up == together.up);
  CHECK(single.down == together.down);
  CHECK(single.overall == together.overall);
  CHECK(single.out >= 0.5);
  CHECK(single.gate_output > 0.2);
  CHECK(single.down >= single.gate_output);
}

TEST_CASE("a decoded token allocates nothing") {
#ifdef A48_COUNTS_ALLOCATIONS
  const Packed packed(request_for(quant::Mode::a4_8));
  for (const int threads : {1, 2}) {
    set_thread_count(threads);
    for (const int kv_bits : {32, 3}) {
      DecoderOptions options;
      options.cache = CacheFormat{kv_bits, 4, kv_bits == 3 ? 8 : 16};
      Decoder decoder = packed.decoder(options);
      const std::vector<std::int32_t> ids = random_ids(300);
      std::int64_t before = 0;
      for (int pass = 0; pass < 2; ++pass) {  // each thread takes its scratch once, in the first
        decoder.start(1);
        decoder.reserve(400);
        before = allocations.load();
        for (const std::int32_t id : ids) {
          const TokenInput token{0, id, true};
          decoder.feed({&token, 1});
        }
      }
      // A worker that had no part in the first pass registers its scratch in the second, once; 300 tokens
      // were fed.
      CHECK(allocations.load() - before < threads);
    }
  }
  set_thread_count(0);
#else
  A48_SKIP("allocations are not counted under a sanitizer or without glibc");
#endif
}

TEST_CASE("check 7: a weight that is not finite is an error naming layer and position, and no token comes") {
  PackRequest request = request_for(quant::Mode::a4_8);
  const WeightSource good = synthetic_weights(request.model, 5);
  const auto bad = [&](const std::string& name) {
    const Rows<const float> rows = good(name);
    if (name == "model.layers.1.post_attention_layernorm.weight")
      const_cast<float*>(rows.data)[3] = 3e38f;  // finite, but its products are not
    return rows;
  };
  const Buffer<std::byte> bytes = pack_model(request, bad);
  Decoder decoder(PackedModel::of_bytes(bytes.span(), "test", Verify::structure));
  decoder.start(1);
  const TokenInput token{0, 4, true};
  CHECK_ERROR(decoder.feed({&token, 1}), ErrorKind::not_finite, "model.layers.1.mlp", "position 0");
}

TEST_CASE("ids outside the vocabulary and positions outside the context are refused") {
  const Packed packed(request_for(quant::Mode::a4_8));
  Decoder decoder = packed.decoder();
  decoder.start(1);
  const TokenInput outside{0, 61, true};
  CHECK_ERROR(decoder.feed({&outside, 1}), ErrorKind::bad_input, "token id 61", "0 to 60");
  const std::vector<TokenInput> many(601, TokenInput{0, 3, false});
  CHECK_ERROR(decoder.feed(many), ErrorKind::bad_input, "context of 600");
}

TEST_CASE("modes with floating-point inputs are refused by name") {
  PackRequest request = request_for(quant::Mode::a4_8);
  const Packed packed(request);
  DecoderOptions options;
  options.slots = quant::row_of(quant::Mode::a16).slots;
  options.mode = "a16";
  CHECK_ERROR(packed.decoder(options), ErrorKind::config, "a16", "a4.8");
}

}  // namespace
}  // namespace a48::runtime
