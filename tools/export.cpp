// `a48 export`: a checkpoint becomes a packed file. It is written under a temporary name, read again,
// compared with the checkpoint (codes, scales, logits) and only then renamed into place. Next:
// core/runtime/pack_model.cpp.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <numeric>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/quant/reference.h"
#include "core/runtime/decoder.h"
#include "core/runtime/pack_model.h"
#include "tools/checkpoint_masters.h"
#include "tools/commands.h"
#include "tools/model_tokenizer.h"

namespace a48::tools {
namespace {

// --- What is compared

/// Codes and scale of every ternary matrix are those of its master.
void compare_codes(const runtime::PackedModel& packed, CheckpointMasters& masters) {
  for (std::size_t layer = 0; layer < packed.layers().size(); ++layer) {
    const runtime::PackedLayer& w = packed.layers()[layer];
    const std::string prefix = concat("model.layers.", layer, ".");
    const std::pair<const char*, const kernels::TernaryMatrix*> matrices[] = {
        {"self_attn.q_proj.weight", &w.q}, {"self_attn.k_proj.weight", &w.k},
        {"self_attn.v_proj.weight", &w.v}, {"self_attn.o_proj.weight", &w.o},
        {"mlp.gate_proj.weight", &w.gate}, {"mlp.up_proj.weight", &w.up},
        {"mlp.down_proj.weight", &w.down}};
    for (const auto& [name, matrix] : matrices) {
      const Rows<const float> master = masters(prefix + name);
      const std::int64_t size = master.rows * master.cols;
      Buffer<std::int8_t> expected(size), found(size);
      float alpha = 0.0f;
      std::uint8_t status = kernels::kRowFinite;
      kernels::ternarize_weight({master, expected.rows(master.rows, master.cols), &alpha, &status});
      quant::reference_unpack_ternary(matrix->layout, matrix->packed, found.rows(master.rows, master.cols));
      A48_CHECK(alpha == matrix->alpha && std::equal(expected.data(), expected.data() + size, found.data()),
                ErrorKind::check_failed, packed.source(), ": ", prefix, name,
                " does not hold the codes of its master; the file was not kept");
    }
  }
}

/// Tokens that the comparison feeds: two sequences of random ids.
struct Probe {
  std::vector<runtime::TokenInput> together;  // both sequences, fed at once
  std::vector<runtime::TokenInput> single;    // then one token at a time
};

Probe probe_of(const runtime::ModelInfo& info) {
  const std::int64_t length = std::min<std::int64_t>(48, info.max_positions / 2);
  Probe probe;
  const auto token = [&](std::int32_t sequence, std::int64_t position) {
    const std::uint64_t bits = random_bits(stream_of("probe"), static_cast<std::uint64_t>(sequence),
                                           static_cast<std::uint64_t>(position));
    return runtime::TokenInput{
        sequence, static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(info.vocab_size)), true};
  };
  for (std::int32_t s = 0; s < 2; ++s)
    for (std::int64_t t = 0; t < length; ++t) probe.together.push_back(token(s, t));
  for (std::int64_t t = length; t < length + 8 && t < info.max_positions; ++t)
    probe.single.push_back(token(0, t));
  return probe;
}

std::vector<float> logits_of(runtime::LanguageModel& model, const Probe& probe) {
  std::vector<float> all;
  const auto take = [&all](Rows<const float> rows) {
    all.insert(all.end(), rows.data, rows.data + rows.rows * rows.cols);
  };
  model.start(2);
  take(model.feed(probe.together));
  for (const runtime::TokenInput& token : probe.single) take(model.feed({&token, 1}));
  return all;
}

/// ‖x − y‖ / ‖y‖
double relative_distance(const std::vector<float>& x, const std::vector<float>& y) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    difference += d * d;
    size += static_cast<double>(y[i]) * static_cast<double>(y[i]);
  }
  return size > 0.0 ? std::sqrt(difference / size) : 0.0;
}

void demand_equal(const std::vector<float>& found, const std::vector<float>& expected,
                  const std::string& source) {
  A48_CHECK(found.size() == expected.size() &&
                std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0,
            ErrorKind::check_failed, source,
            ": the packed model's logits differ from the trainer's evaluation; the file was not kept");
}

runtime::CacheFormat exact_cache() { return {.kv_bits = 32, .bos_bits = 4, .q_bits = 16}; }

std::vector<float> packed_logits(runtime::PackedModel packed, const Probe& probe) {
  runtime::DecoderOptions options;
  options.cache = exact_cache();
  runtime::Decoder decoder(std::move(packed), options);
  return logits_of(decoder, probe);
}

// --- The export

struct Comparison {
  double logits_relative = 0;  // stored model against the unrounded one
  double head_relative = 0;    // an integer head against bf16
};

/// The packed runtime against the trainer's evaluation, bit for bit: with an f32 head as it is; else with
/// embedding and head rounded to bf16, which an integer head is then compared with by distance.
Comparison compare_logits(const ExportOptions& options, const runtime::PackRequest& request, const Path& file,
                          CheckpointMasters& masters, runtime::LanguageModel& exact,
                          const ModelOpener& open_bf16) {
  const Probe probe = probe_of(exact.info());
  const std::vector<float> stored = packed_logits(runtime::PackedModel::open(file), probe);
  const std::vector<float> unrounded = logits_of(exact, probe);
  Comparison result;
  result.logits_relative = relative_distance(stored, unrounded);
  if (request.head == kernels::HeadClass::f32) {
    demand_equal(stored, unrounded, options.model);
    return result;
  }
  const std::vector<float> rounded = logits_of(*open_bf16(options.model, options.mode).model, probe);
  if (request.head == kernels::HeadClass::bf16) {
    demand_equal(stored, rounded, options.model);
    return result;
  }
  runtime::PackRequest with_bf16 = request;
  with_bf16.head = kernels::HeadClass::bf16;
  const Buffer<std::byte> bytes = runtime::pack_model(with_bf16, std::ref(masters));
  demand_equal(
      packed_logits(runtime::PackedModel::of_bytes(bytes.span(), options.model, runtime::Verify::structure),
                    probe),
      rounded, options.model);
  result.head_relative = relative_distance(stored, rounded);
  return result;
}

runtime::PackRequest request_of(const ExportOptions& options, const train::OpenedModel& opened) {
  runtime::PackRequest request = pack_request_of(opened);
  request.head = runtime::head_class_of(options.head);
  request.qkv_gate_layout =
      options.layout == "t2_row" ? quant::TernaryLayout::t2_row : quant::TernaryLayout::t2_row4;
  request.cache = {.kv_bits = options.kv_bits, .bos_bits = 4, .q_bits = options.q_bits};
  runtime::check_cache_format(request.cache);
  request.source_sha256 = sha256_file(Path(opened.checkpoint) / kCheckpointWeights);
  request.provenance["checkpoint"] = Path(opened.checkpoint).filename().string();
  request.provenance["step"] = opened.step;
  return request;
}

/// Removes the temporary file whatever happens.
struct Temporary {
  Path path;
  ~Temporary() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

std::string megabytes(const Path& file) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f MB", static_cast<double>(std::filesystem::file_size(file)) * 1e-6);
  return text;
}

}  // namespace

ExitCode run_export(const ExportOptions& options, const ModelOpener& open, const ModelOpener& open_bf16) {
  const train::OpenedModel opened = open(options.model, options.mode);
  runtime::PackRequest request = request_of(options, opened);
  CheckpointMasters masters(opened.checkpoint);
  const Temporary draft{options.out + ".draft"};

  log::info(concat("packing ", opened.checkpoint, " in mode ", request.mode, ", head ", options.head));
  const runtime::RoundingReport rounding =
      runtime::write_packed_model(draft.path, request, std::ref(masters));
  {
    const runtime::PackedModel packed = runtime::PackedModel::open(draft.path, runtime::Verify::full);
    check_tokenizer(packed);
    compare_codes(packed, masters);
  }
  const Comparison comparison =
      compare_logits(options, request, draft.path, masters, *opened.model, open_bf16);

  // Once more, with what was found; the weights' bytes are the same.
  Json& found = request.provenance["compared"];
  found["logits_relative"] = comparison.logits_relative;
  if (comparison.head_relative > 0) found["head_relative_to_bf16"] = comparison.head_relative;
  runtime::write_packed_model(draft.path, request, std::ref(masters));
  const std::string identity = runtime::PackedModel::open(draft.path, runtime::Verify::full).identity();
  rename_synced(draft.path, options.out);

  const Path weights = Path(opened.checkpoint) / kCheckpointWeights;
  if (options.json) {
    Json all = Json::object();
    all["file"] = options.out;
    all["bytes"] = static_cast<std::int64_t>(std::filesystem::file_size(options.out));
    all["checkpoint_bytes"] = static_cast<std::int64_t>(std::filesystem::file_size(weights));
    all["mode"] = request.mode;
    all["head"] = options.head;
    all["identity"] = identity;
    all["embedding_relative"] = rounding.embedding_relative;
    all["head_weights_relative"] = rounding.head_relative;
    all["logits_relative"] = comparison.logits_relative;
    all["logits_equal"] = true;
    std::cout << all.dump() << "\n";
    return ExitCode::done;
  }
  std::cout << options.out << ": " << megabytes(options.out)
            << " (weights of the checkpoint: " << megabytes(weights) << ")\n"
            << "codes, scales and logits compared with the checkpoint: equal\n"
            << "distance to the unrounded model: " << comparison.logits_relative << " of the logits' norm\n";
  return ExitCode::done;
}

}  // namespace a48::tools
