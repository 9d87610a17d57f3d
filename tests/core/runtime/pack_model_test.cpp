// The writer of packed files against the kernels and layouts that it uses, read back by the reader.
#include "core/runtime/pack_model.h"

#include "core/quant/half.h"
#include "core/quant/reference.h"
#include "core/runtime/packed_file.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/packed_files.h"
#include "tests/support/temp_dir.h"

namespace a48::runtime {
namespace {

using kernels::HeadClass;
using quant::TernaryLayout;

constexpr HeadClass kClasses[] = {HeadClass::f32, HeadClass::bf16, HeadClass::i8, HeadClass::i6,
                                  HeadClass::i4};

/// "" when the matrix holds the codes and scale that ternarize_weight gives.
std::string unlike_master(const kernels::TernaryMatrix& matrix, Rows<const float> master) {
  if (matrix.rows != master.rows || matrix.cols != master.cols) return "shape";
  Buffer<std::int8_t> expected(master.rows * master.cols), found(master.rows * master.cols);
  float alpha = 0;
  std::uint8_t status = 0;
  kernels::ternarize_weight({master, expected.rows(master.rows, master.cols), &alpha, &status});
  quant::reference_unpack_ternary(matrix.layout, matrix.packed, found.rows(master.rows, master.cols));
  if (alpha != matrix.alpha) return "scale";
  return std::memcmp(expected.data(), found.data(), static_cast<std::size_t>(expected.size())) == 0 ? ""
                                                                                                    : "codes";
}

std::string unlike_vector(const float* found, Rows<const float> expected) {
  if (found == nullptr) return "absent";
  return std::memcmp(found, expected.data, static_cast<std::size_t>(expected.cols) * sizeof(float)) == 0
             ? ""
             : "values";
}

/// "" when every tensor of the model is its master as stored.
std::string unlike_masters(const PackedModel& model, const WeightSource& weights) {
  const bool sub_norm = model.model().sub_norm;
  std::string wrong;
  for (std::int64_t i = 0; i < model.model().num_hidden_layers; ++i) {
    const PackedLayer& layer = model.layers()[static_cast<std::size_t>(i)];
    const auto check = [&](const char* name, const auto& tensor, auto compare) {
      const std::string full = layer_tensor(i, name), difference = compare(tensor, weights(full));
      if (!difference.empty()) wrong += full + ": " + difference + "; ";
    };
    check(section::kInputNorm, layer.input_layernorm, unlike_vector);
    check(section::kPostNorm, layer.post_attention_layernorm, unlike_vector);
    if (sub_norm) {
      check(section::kAttentionSubNorm, layer.attn_sub_norm, unlike_vector);
      check(section::kFfnSubNorm, layer.ffn_sub_norm, unlike_vector);
    } else if (layer.attn_sub_norm != nullptr || layer.ffn_sub_norm != nullptr) {
      wrong += "a sub-norm; ";
    }
    check(section::kQ, layer.q, unlike_master);
    check(section::kK, layer.k, unlike_master);
    check(section::kV, layer.v, unlike_master);
    check(section::kO, layer.o, unlike_master);
    check(section::kGate, layer.gate, unlike_master);
    check(section::kUp, layer.up, unlike_master);
    check(section::kDown, layer.down, unlike_master);
  }
  return wrong + unlike_vector(model.final_norm(), weights(section::kFinalNorm));
}

}  // namespace

TEST_CASE("packed models of every head class hold their masters' codes, scales and norms") {
  for (const HeadClass head : kClasses) {
    for (const bool tied : {false, true}) {
      PackRequest request = test::small_request(head);
      request.model.tie_word_embeddings = tied;
      request.model.sub_norm = !tied;
      request.qkv_gate_layout = tied ? TernaryLayout::t2_row : TernaryLayout::t2_row4;
      const WeightSource weights = test::random_weights(request.model);
      const Buffer<std::byte> bytes = pack_model(request, weights);
      const PackedModel model = PackedModel::of_bytes(bytes.span(), "a file", Verify::full);
      INFO("head " << head_class_name(head) << (tied ? ", tied" : ""));
      CHECK(unlike_masters(model, weights) == "");
      CHECK(model.layers()[0].gate.layout == request.qkv_gate_layout);
      CHECK(model.layers()[0].q.layout == request.qkv_gate_layout);
      CHECK(model.layers()[0].up.layout == TernaryLayout::t2_row);
      CHECK(model.layers()[0].o.layout == TernaryLayout::t2_col);
      CHECK(model.layers()[0].down.layout == TernaryLayout::t2_col);
      CHECK(model.embedding().kind == (head == HeadClass::f32 ? HeadClass::f32 : HeadClass::bf16));
      CHECK(model.head().kind == head);
      const bool shared = model.head().stored.data == model.embedding().stored.data;
      CHECK(shared == (tied && (head == HeadClass::f32 || head == HeadClass::bf16)));
    }
  }
}

TEST_CASE("embedding and head are stored as their class says: fp32, rounded bf16, codes near the master") {
  for (const HeadClass head : kClasses) {
    const PackRequest request = test::small_request(head);
    const WeightSource weights = test::random_weights(request.model);
    const Buffer<std::byte> bytes = pack_model(request, weights);
    const PackedModel model = PackedModel::of_bytes(bytes.span(), "a file", Verify::full);
    INFO("head " << head_class_name(head));
    std::vector<float> row(24);
    const auto compare = [&](const kernels::HeadWeight& stored, const char* name) {
      const Rows<const float> master = weights(name);
      for (std::int64_t v = 0; v < master.rows; ++v) {
        kernels::widen_row(stored, v, row.data());
        float largest = 0;
        for (std::int64_t k = 0; k < master.cols; ++k)
          largest = std::max(largest, std::fabs(master.row(v)[k]));
        for (std::int64_t k = 0; k < master.cols; ++k) {
          const float w = master.row(v)[k], got = row[static_cast<std::size_t>(k)];
          const auto within = [&](float levels) {  // half a step; i6 and i4 also round the step to fp16
            return std::fabs(got - w) <= largest * (0.5f / levels + 0x1p-11f);
          };
          switch (stored.kind) {
            case HeadClass::f32:
              CHECK(got == w);
              break;
            case HeadClass::bf16:
              CHECK(got == quant::widen(quant::to_bf16(w)));
              break;
            case HeadClass::i8:
              CHECK(within(127.0f));
              break;
            case HeadClass::i6:
              CHECK(within(31.0f));
              break;
            case HeadClass::i4:
              CHECK(within(7.0f));
              break;
          }
        }
      }
    };
    compare(model.embedding(), section::kEmbedding);
    compare(model.head(), section::kHead);
  }
}

TEST_CASE("sizes around the layouts' blocks are packed and read back") {
  constexpr std::int64_t kSizes[] = {1, 5, 63, 64, 65, 255, 257};
  constexpr std::int64_t kHidden[] = {2, 6, 62, 64, 66, 254, 258};
  for (std::size_t i = 0; i < std::size(kSizes); ++i) {
    for (const HeadClass head : kClasses) {
      PackRequest request = test::small_request(head);
      request.model.num_hidden_layers = 1;
      request.model.num_attention_heads = 1;
      request.model.num_key_value_heads = 1;
      request.model.hidden_size = kHidden[i];
      request.model.intermediate_size = kSizes[i];
      request.model.vocab_size = std::max<std::int64_t>(3, kSizes[std::size(kSizes) - 1 - i]);
      const WeightSource weights = test::random_weights(request.model);
      const Buffer<std::byte> bytes = pack_model(request, weights);
      INFO("size " << kSizes[i] << ", hidden " << kHidden[i] << ", head " << head_class_name(head));
      CHECK(unlike_masters(PackedModel::of_bytes(bytes.span(), "a file", Verify::full), weights) == "");
    }
  }
}

TEST_CASE("a packed file holds the same bytes as memory, each time, and says what was asked for") {
  const test::TempDir dir;
  PackRequest request = test::small_request(HeadClass::i6);
  request.cache = {.kv_bits = 3, .bos_bits = 4, .q_bits = 8};
  request.tokenizer_kind = "sentencepiece";
  request.tokenizer_model = "pieces";
  request.tokens_seen = 12345;
  request.sequence_length = 48;
  request.model.hidden_act = config::Activation::silu;
  request.model.rms_norm_eps = 1e-6;
  request.provenance["tool"] = "a test";
  const WeightSource weights = test::random_weights(request.model);
  const RoundingReport report = write_packed_model(dir / "m.a48", request, weights);
  const Buffer<std::byte> bytes = pack_model(request, weights);
  CHECK(read_file(dir / "m.a48") ==
        std::string(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(bytes.size())));

  const PackedModel model = PackedModel::open(dir / "m.a48", Verify::full);
  CHECK(model.slots() == request.slots);
  CHECK(model.mode() == "a4.8");
  CHECK(model.cache_format() == request.cache);
  CHECK(model.tokenizer_kind() == "sentencepiece");
  CHECK(model.tokenizer_model() == "pieces");
  CHECK(model.sequence_length() == 48);
  CHECK(model.model().hidden_act == config::Activation::silu);
  CHECK(model.model().rms_norm_eps == 1e-6);
  CHECK(model.model().num_key_value_heads == 2);
  CHECK(model.config_json().at("a48").at("tokens_seen").as_int() == 12345);
  CHECK(model.provenance().at("tool").as_string() == "a test");
  const Json& rounding = model.provenance().at("rounding");
  CHECK(rounding.at("head_relative").as_double() == report.head_relative);
  CHECK(rounding.at("embedding_relative").as_double() == report.embedding_relative);
  CHECK(report.embedding_relative > 0);
  CHECK(report.embedding_relative < 0x1p-8);
  CHECK(report.head_relative > report.embedding_relative);
  CHECK(model.identity().size() == 64);
  CHECK(model.file_bytes() == std::filesystem::file_size(dir / "m.a48"));
}

TEST_CASE("the bytes of a packed file are fixed") {
  // Recorded from this writer after its layouts were checked one by one: a change of it is a change of the
  // format.
  const PackRequest request = test::small_request(HeadClass::bf16);
  const Buffer<std::byte> bytes = pack_model(request, [](const std::string& name) -> Rows<const float> {
    static std::vector<float> values;
    const PackRequest same = test::small_request(HeadClass::bf16);
    const Rows<const float> shape = test::random_weights(same.model)(name);
    values.resize(static_cast<std::size_t>(shape.rows * shape.cols));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = 0.25f * static_cast<float>(static_cast<int>(i * 7 % 11) - 5);
    return {values.data(), shape.rows, shape.cols};
  });
  CHECK(PackedModel::of_bytes(bytes.span(), "a file", Verify::full).identity() ==
        "b977acd59be57cab446fed668175c63fc45f9111e74166a37941617f7a8f1d43");
}

TEST_CASE("what cannot be packed is refused: other slots, wrong shapes, numbers that are not finite") {
  const WeightSource weights = test::random_weights(test::small_request().model);
  const auto refuses = [&](const PackRequest& request, const WeightSource& source, ErrorKind kind,
                           const std::string& reason) {
    INFO(reason);
    CHECK_ERROR(pack_model(request, source), kind, reason);
  };
  PackRequest request = test::small_request();
  request.slots = quant::row_of(quant::Mode::none).slots;
  refuses(request, weights, ErrorKind::config, "ternary weights");
  request.slots = quant::row_of(quant::Mode::a16).slots;
  refuses(request, weights, ErrorKind::config, "qkv: fp");
  request = test::small_request();
  request.tokenizer_kind = "sentencepiece";
  refuses(request, weights, ErrorKind::bad_input, "tokenizer");

  const auto with = [&](const char* name, float value) {
    return [=](const std::string& wanted) -> Rows<const float> {
      const Rows<const float> tensor = weights(wanted);
      if (wanted == name) const_cast<float*>(tensor.data)[tensor.rows * tensor.cols - 1] = value;
      return tensor;
    };
  };
  const std::string down = layer_tensor(1, section::kDown), norm = layer_tensor(0, section::kInputNorm);
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    refuses(test::small_request(), with(down.c_str(), value), ErrorKind::bad_input, down);
    refuses(test::small_request(), with(norm.c_str(), value), ErrorKind::bad_input, norm);
    refuses(test::small_request(), with(section::kEmbedding, value), ErrorKind::bad_input,
            section::kEmbedding);
    for (const HeadClass head : kClasses)
      refuses(test::small_request(head), with(section::kHead, value), ErrorKind::bad_input, section::kHead);
  }
  refuses(test::small_request(HeadClass::bf16), with(section::kHead, 3.4e38f), ErrorKind::bad_input, "bf16");
  refuses(test::small_request(HeadClass::i4), with(section::kHead, 1e6f), ErrorKind::bad_input, "i4");
  refuses(
      test::small_request(),
      [&](const std::string& name) {
        return name == section::kFinalNorm ? weights(section::kEmbedding) : weights(name);
      },
      ErrorKind::bad_input, "37 x 24");
}

TEST_CASE("head classes have names") {
  for (const HeadClass head : kClasses) CHECK(head_class_of(head_class_name(head)) == head);
  CHECK_ERROR(head_class_of("f16"), ErrorKind::config, "f16", "f32, bf16, i8, i6, i4");
}

TEST_CASE("an all-zero matrix is packed as zeros with the smallest scale") {
  const PackRequest request = test::small_request();
  const WeightSource random = test::random_weights(request.model);
  const std::string name = layer_tensor(0, section::kUp);
  const Buffer<std::byte> bytes = pack_model(request, [&](const std::string& wanted) {
    const Rows<const float> tensor = random(wanted);
    if (wanted == name) std::fill_n(const_cast<float*>(tensor.data), tensor.rows * tensor.cols, 0.0f);
    return tensor;
  });
  const PackedModel model = PackedModel::of_bytes(bytes.span(), "a file", Verify::full);
  CHECK(model.layers()[0].up.alpha == quant::kStatisticFloor);
  for (const PackedSection& section : model.sections())
    if (section.name == name) CHECK(section.nonzero == 0);
}

}  // namespace a48::runtime
