// A checkpoint as runtime::LanguageModel: the exact CPU path of numerics.md 0, quantized in any mode. No
// torch here.
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
  std::string checkpoint;      // RUN/checkpoints/step-N
  std::string tokenizer_path;  // tokenizer.model beside it; empty = there is none
  std::string tokenizer_kind;  // of the training data: "sentencepiece", "bytes" or "unknown"
  std::int64_t step = 0;
};

/// `path`: a run folder (its latest valid checkpoint) or a checkpoint folder. `mode`: unset = the mode of the
/// checkpoint's stage. Error(bad_input) when missing, altered or not matching; the reason names the file.
OpenedModel open_model(const std::string& path, std::optional<quant::Mode> mode = {});

}  // namespace a48::train
