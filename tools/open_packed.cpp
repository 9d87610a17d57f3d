// A packed file as what `eval` and `generate` work on. Next: core/runtime/packed_file.cpp, decoder.cpp or, on
// a GPU, device_decoder.cpp.
#include <filesystem>

#include "core/base/check.h"
#include "core/runtime/device_decoder.h"
#include "tools/commands.h"

namespace a48::tools {

bool is_packed_file(const std::string& path) {
  return std::filesystem::is_regular_file(path) && std::filesystem::path(path).extension() == ".a48";
}

std::optional<runtime::CacheFormat> cache_format_of(int kv_bits, int q_bits) {
  if (kv_bits == 0) {
    A48_CHECK(q_bits == 16, ErrorKind::config, "--q-bits ", q_bits, " goes with --kv-bits 4 or 3");
    return std::nullopt;
  }
  const runtime::CacheFormat format{kv_bits, 4, q_bits};
  runtime::check_cache_format(format);
  return format;
}

std::unique_ptr<runtime::LanguageModel> decoder_of(runtime::PackedModel model,
                                                   const runtime::DecoderOptions& options, bool gpu) {
  if (gpu) return std::make_unique<runtime::DeviceDecoder>(std::move(model), options);
  return std::make_unique<runtime::Decoder>(std::move(model), options);
}

train::OpenedModel open_packed(const std::string& path, const Serving& serving) {
  if (serving.gpu) runtime::demand_device();
  runtime::PackedModel packed = runtime::PackedModel::open(path);
  train::OpenedModel opened;
  opened.config.model = packed.model();
  opened.checkpoint = path;
  opened.tokenizer_kind = packed.tokenizer_kind();
  opened.tokenizer_model = packed.tokenizer_model();

  runtime::DecoderOptions options;
  options.cache = serving.cache;
  if (serving.mode) {
    options.slots = quant::row_of(*serving.mode).slots;
    options.mode = quant::row_of(*serving.mode).name;
  }
  opened.model = decoder_of(std::move(packed), options, serving.gpu);
  return opened;
}

}  // namespace a48::tools
