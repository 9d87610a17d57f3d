// Checkpoints: RUN/checkpoints/step-NNNNNNNN/ with masters, moments, trainer state, configuration and
// tokenizer, written so that a valid name never holds a half-written or altered folder: temporary folder,
// fsync, manifest last, rename, `latest` (formats.md 8). Verified before use, loudly passed over when bad.
// Hashes and manifest: core/format/manifest.h.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/json.h"
#include "core/config/types.h"
#include "core/format/manifest.h"
#include "training/guard.h"
#include "training/optimizer.h"

namespace a48::train {

/// Whose ids the run was trained on.
struct TokenizerRecord {
  std::string kind = "unknown";  // "sentencepiece" | "bytes" | "unknown"
  std::string sha256;            // "" = unknown
};

/// All state besides weights and moments.
struct TrainerState {
  std::int64_t step = 0;     // steps done
  std::int64_t applied = 0;  // updates among them
  std::int64_t tokens = 0;
  std::uint64_t stream = 0;   // data position (data/order.h)
  std::int64_t consumed = 0;  // sequences of this stream
  std::int64_t stage = 0;     // of the last step done
  std::int64_t seed = 0;
  GuardState guard;
  std::int64_t evaluated_step = -1;  // last validation, and its loss
  double validation_loss = 0.0;
  std::int64_t best_step = -1;  // lowest validation loss so far
  double best_validation_loss = 0.0;
  double seconds = 0.0;  // trained, over all starts of the run
  std::string data_fingerprint;
  TokenizerRecord tokenizer;
  Json machine;  // what bit-for-bit resume depends on: threads, build, instruction set, …
};
Json to_json(const TrainerState& state);
TrainerState state_from_json(const Json& json);

/// A folder whose manifest and files have been verified.
struct Checkpoint {
  Path folder;
  std::int64_t step = 0;
  format::Manifest manifest;
  TrainerState state;
  config::RunConfig config;
  std::string tokenizer_path() const;  // tokenizer.model in it, or ""
};

/// "step-00000500" of 500; the number of a name that has exactly this form, else nothing.
std::string checkpoint_name(std::int64_t step);
std::optional<std::int64_t> step_of_name(const std::string& name);

/// (step, folder) of every exact name in RUN/checkpoints, ascending; not verified.
std::vector<std::pair<std::int64_t, Path>> list_checkpoints(const Path& run);

/// Error(bad_input) names the file and what is wrong with it.
Checkpoint open_checkpoint(const Path& folder);

/// `latest`, else the newest valid step; each folder passed over is warned about with its reason. Nothing
/// when the run has no checkpoint at all; Error(bad_input) with all reasons when it has only bad ones.
std::optional<Checkpoint> newest_checkpoint(const Path& run);

/// A run folder (its newest valid checkpoint) or a checkpoint folder (that one and no other);
/// Error(bad_input) when there is none.
Checkpoint find_checkpoint(const Path& path);

/// Copies the masters in; names and shapes must be those of the model, none missing, none extra.
void load_weights(const Checkpoint& checkpoint, const NamedTensors& parameters);
void load_moments(const Checkpoint& checkpoint, AdamW& optimizer);

/// What a checkpoint is made of.
struct Snapshot {
  const config::RunConfig* config = nullptr;
  const TrainerState* state = nullptr;
  const AdamW* optimizer = nullptr;  // holds the weights too
  Path tokenizer;                    // copied; empty = none
};
/// Returns the folder, once it is committed. Error(not_finite) when a weight or moment is NaN or Inf,
/// Error(no_resources) when the disk refuses; in both cases nothing appears under a valid name and nothing
/// existing is lost.
Path save_checkpoint(const Path& run, const Snapshot& snapshot);

/// Names of matrices that hold only zeros: dead weights that a run should not go on with unnoticed.
std::vector<std::string> zero_matrices(const NamedTensors& parameters);

/// Deletes what is not kept: the last keep_last, every keep_every-th, the best validated, those just before a
/// stage switch and the one resumed from stay. By rename first, so that a half-deleted folder has no valid
/// name. Folders after `saved`, the step just committed, are not counted and not touched. A failure is a
/// warning.
void retire_checkpoints(const Path& run, const config::RunConfig& config, std::int64_t saved,
                        std::int64_t resumed_from);
/// Temporary folders and half-deleted ones of earlier processes.
void remove_leftovers(const Path& run);

/// Folders after `step` belong to a history that a resume from `step` leaves, or are damaged: they get the
/// suffix ".superseded".
void set_aside_after(const Path& run, std::int64_t step);

/// SHA-256 over names and bytes of weights and moments and the applied updates.
std::string state_hash(const AdamW& optimizer);

}  // namespace a48::train
