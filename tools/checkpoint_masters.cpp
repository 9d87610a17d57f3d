#include "tools/checkpoint_masters.h"

#include <cstring>
#include <functional>
#include <utility>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/runtime/device_decoder.h"

namespace a48::tools {

CheckpointMasters::CheckpointMasters(const std::string& checkpoint)
    : file_(Path(checkpoint) / kCheckpointWeights) {}

Rows<const float> CheckpointMasters::operator()(const std::string& name) {
  const format::TensorInfo* info = file_.find(name);
  A48_CHECK(info != nullptr && info->dtype == "F32" && !info->shape.empty() && info->shape.size() <= 2,
            ErrorKind::bad_input, "the checkpoint holds no fp32 tensor ", name);
  const std::span<const std::byte> bytes = file_.bytes(*info);
  const std::int64_t cols = info->shape.back(), rows = info->shape.size() == 2 ? info->shape[0] : 1;
  if (values_.size() < rows * cols) values_ = Buffer<float>(rows * cols);
  std::memcpy(values_.data(), bytes.data(), bytes.size());
  return {values_.data(), rows, cols};
}

runtime::PackRequest pack_request_of(const train::OpenedModel& opened) {
  runtime::PackRequest request;
  request.model = opened.config.model;
  request.slots = opened.slots;
  request.mode = opened.model->info().mode;
  request.tokenizer_kind = opened.tokenizer_path.empty() ? opened.tokenizer_kind : "sentencepiece";
  if (request.tokenizer_kind == "unknown") request.tokenizer_kind = "none";
  if (!opened.tokenizer_path.empty()) request.tokenizer_model = read_file(opened.tokenizer_path);
  request.tokens_seen = opened.tokens;
  request.sequence_length = opened.model->info().sequence_length;
  return request;
}

train::OpenedModel packed_in_memory(const train::OpenedModel& opened, const Serving& serving) {
  if (serving.gpu) runtime::demand_device();
  runtime::PackRequest request = pack_request_of(opened);
  request.head = kernels::HeadClass::f32;
  CheckpointMasters masters(opened.checkpoint);
  train::OpenedModel result;
  result.config = opened.config;
  result.checkpoint = opened.checkpoint;
  result.tokenizer_path = opened.tokenizer_path;
  result.tokenizer_kind = opened.tokenizer_kind;
  result.tokenizer_sha256 = opened.tokenizer_sha256;
  result.step = opened.step;
  result.tokens = opened.tokens;
  result.slots = opened.slots;
  runtime::DecoderOptions options;
  options.cache = serving.cache;
  result.model = decoder_of(
      runtime::PackedModel::of_buffer(runtime::pack_model(request, std::ref(masters)), opened.checkpoint),
      options, serving.gpu);
  return result;
}

}  // namespace a48::tools
