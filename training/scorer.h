// A checkpoint as runtime::LanguageModel, quantized in any mode: the exact CPU path of numerics.md 0, or the
// same network on a GPU. No torch here.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/config/types.h"
#include "core/quant/scheme.h"
#include "core/runtime/model.h"
#include "core/runtime/tokenizer.h"

namespace a48::train {

struct OpenedModel {
  std::unique_ptr<runtime::LanguageModel> model;
  config::RunConfig config;
  std::string checkpoint;        // RUN/checkpoints/step-N
  std::string tokenizer_path;    // tokenizer.model beside it; empty = there is none
  std::string tokenizer_model;   // its bytes, where it lies within a packed file
  std::string tokenizer_kind;    // of the training data: "sentencepiece", "bytes" or "unknown"
  std::string tokenizer_sha256;  // likewise; empty = unknown
  std::int64_t step = 0;
  std::int64_t tokens = 0;  // seen in training
  quant::Slots slots;       // of the mode it computes in
};

/// `path`: a run folder (its latest valid checkpoint) or a checkpoint folder. `mode`: unset = the mode of the
/// checkpoint's stage. Error(bad_input) when missing, altered or not matching; the reason names the file.
OpenedModel open_model(const std::string& path, std::optional<quant::Mode> mode = {});
/// The same with embedding and head rounded to bf16: the reference of a packed file that stores them so (E7).
OpenedModel open_bf16_model(const std::string& path, std::optional<quant::Mode> mode = {});
/// The same on the GPU with fp32 activations: BitLinear in the CPU's bits, attention and head in LibTorch's
/// order (E8). Error(no_resources) when there is no GPU, or one too small for the weights.
OpenedModel open_model_on_gpu(const std::string& path, std::optional<quant::Mode> mode = {});

}  // namespace a48::train
