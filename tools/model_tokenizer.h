// The tokenizer of an opened model, for the subcommands that read or write text.
#pragma once

#include <memory>

#include "core/runtime/packed_file.h"
#include "core/runtime/tokenizer.h"
#include "training/scorer.h"

namespace a48::tools {

/// Null where the model does not say which tokenizer made its training data. Error(bad_input) when it does
/// not load, or has ids that the model has not.
std::unique_ptr<runtime::Tokenizer> tokenizer_of(const train::OpenedModel& opened);

/// Error(bad_input) with the next step instead of null: ids of an unknown tokenizer are no text.
std::unique_ptr<runtime::Tokenizer> demand_tokenizer(const train::OpenedModel& opened);

/// The same of a packed file, for full verification (formats.md 9, rule 5).
void check_tokenizer(const runtime::PackedModel& packed);

}  // namespace a48::tools
