#include "training/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "a48_version.h"
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/config/load.h"
#include "core/config/print.h"
#include "core/format/safetensors.h"
#include "training/stages.h"

namespace a48::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFormat = "a48-checkpoint/1";
constexpr const char* kWeights = "model.safetensors";
constexpr const char* kMoments = "optimizer.safetensors";
constexpr const char* kState = "trainer_state.json";
constexpr const char* kRun = "run.json";
constexpr const char* kTokenizer = "tokenizer.model";
constexpr const char* kTemporary = ".tmp-";
constexpr const char* kTrash = ".trash-";
constexpr std::size_t kStepDigits = 8;
constexpr std::size_t kMostShown = 64;  // bytes of a name that is none

Path folder_of(const Path& run) { return run / "checkpoints"; }

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

/// The tensors in host memory: themselves, or copies.
NamedTensors on_host(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().cpu());
  return copies;
}

std::vector<format::TensorSource> sources_of(const NamedTensors& tensors) {
  std::vector<format::TensorSource> sources;
  for (const auto& [name, tensor] : tensors) {
    A48_ASSERT(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat && tensor.is_cpu(), name);
    sources.push_back({name, "F32", tensor.sizes().vec(), tensor.const_data_ptr()});
  }
  return sources;
}

void demand_finite(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    A48_CHECK(at::isfinite(tensor).all().item<bool>(), ErrorKind::not_finite,
              "no checkpoint is written: ", name,
              " holds a value that is not finite. The checkpoints before this one are untouched.");
  }
}

/// Copies `file`'s tensors into `tensors`: the same names and shapes on both sides.
void load_tensors(const Path& file, const NamedTensors& tensors) {
  const format::SafetensorsFile source(file);
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    const format::TensorInfo* info = source.find(name);
    A48_CHECK(info != nullptr, ErrorKind::bad_input, file.string(), ": tensor ", name, " is missing");
    A48_CHECK(info->dtype == "F32" && info->shape == tensor.sizes().vec(), ErrorKind::bad_input,
              file.string(), ": ", name, " is ", info->dtype, " ", at::IntArrayRef(info->shape),
              "; the model needs F32 ", tensor.sizes());
    const auto bytes = source.bytes(*info);
    if (tensor.is_cpu()) {
      std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
      tensor.unsafeGetTensorImpl()->bump_version();
    } else {
      at::Tensor staged = at::empty(tensor.sizes(), at::kFloat);
      std::memcpy(staged.mutable_data_ptr(), bytes.data(), bytes.size());
      at::Tensor(tensor).copy_(staged);
    }
  }
  for (const format::TensorInfo& info : source.tensors()) {
    const bool known =
        std::any_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == info.name; });
    A48_CHECK(known, ErrorKind::bad_input, file.string(), ": the model has no tensor ", info.name);
  }
}

/// Renames to a name that is no checkpoint's, then deletes. Returns false with a warning when either fails.
bool discard(const Path& folder) {
  const Path trash =
      folder.parent_path() / concat(kTrash, folder.filename().string(), "-", static_cast<long>(getpid()));
  try {
    rename_synced(folder, trash);
    fs::remove_all(trash);
    return true;
  } catch (const std::exception& error) {
    log::warning(concat("cannot delete the old checkpoint ", folder.string(), ": ", error.what(),
                        "; training goes on, the next start tries again"));
    return false;
  }
}

/// What a checkpoint says that was written before the tokenizer was recorded: its file is there, or nothing
/// is known.
TokenizerRecord tokenizer_of_files(const format::Manifest& manifest) {
  for (const format::FileEntry& file : manifest.files)
    if (file.name == kTokenizer) return {"sentencepiece", file.sha256};
  return {};
}

std::string latest_name(const Path& run) {
  const Path file = folder_of(run) / "latest";
  if (!fs::exists(file)) return "";
  std::string name = read_file(file);
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

Json doubles(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(value);
  return list;
}

std::vector<double> doubles(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list.as_array()) values.push_back(value.as_double());
  return values;
}

/// Validation loss that stands in a checkpoint's state, if it was measured at this very step.
std::optional<double> validation_of(const Path& folder) {
  try {
    const Path file = folder / kState;
    const TrainerState state = state_from_json(Json::parse(read_file(file), file.string()));
    if (state.evaluated_step == state.step) return state.validation_loss;
  } catch (const std::exception&) {  // unreadable: never the best
  }
  return std::nullopt;
}

}  // namespace

Json to_json(const TrainerState& state) {
  Json json = Json::object();
  json["step"] = state.step;
  json["applied_updates"] = state.applied;
  json["rejected_steps"] = state.guard.rejected;
  json["rejected_in_a_row"] = state.guard.in_a_row;
  json["tokens"] = state.tokens;
  json["stream"] = state.stream;
  json["consumed"] = state.consumed;
  json["stage"] = state.stage;
  json["seed"] = state.seed;
  json["evaluated_step"] = state.evaluated_step;
  json["validation_loss"] = state.validation_loss;
  json["best_step"] = state.best_step;
  json["best_validation_loss"] = state.best_validation_loss;
  json["seconds"] = state.seconds;
  json["data_fingerprint"] = state.data_fingerprint;
  json["tokenizer"]["kind"] = state.tokenizer.kind;
  json["tokenizer"]["sha256"] = state.tokenizer.sha256;
  json["machine"] = state.machine;
  json["loss_window"] = doubles(state.guard.losses);
  json["norm_window"] = doubles(state.guard.norms);
  return json;
}

TrainerState state_from_json(const Json& json) {
  TrainerState state;
  state.step = json.at("step").as_int();
  state.applied = json.at("applied_updates").as_int();
  state.guard.rejected = json.at("rejected_steps").as_int();
  state.guard.in_a_row = json.at("rejected_in_a_row").as_int();
  state.tokens = json.at("tokens").as_int();
  state.stream = static_cast<std::uint64_t>(json.at("stream").as_int());
  state.consumed = json.at("consumed").as_int();
  state.stage = json.at("stage").as_int();
  state.seed = json.at("seed").as_int();
  state.evaluated_step = json.at("evaluated_step").as_int();
  state.validation_loss = json.at("validation_loss").as_double();
  state.best_step = json.at("best_step").as_int();
  state.best_validation_loss = json.at("best_validation_loss").as_double();
  state.seconds = json.at("seconds").as_double();
  state.data_fingerprint = json.at("data_fingerprint").as_string();
  if (const Json* tokenizer = json.find("tokenizer"))
    state.tokenizer = {tokenizer->at("kind").as_string(), tokenizer->at("sha256").as_string()};
  state.machine = json.at("machine");
  state.guard.losses = doubles(json.at("loss_window"));
  state.guard.norms = doubles(json.at("norm_window"));
  return state;
}

std::string Checkpoint::tokenizer_path() const {
  const Path file = folder / kTokenizer;
  return fs::exists(file) ? file.string() : "";
}

std::string checkpoint_name(std::int64_t step) {
  std::string digits = std::to_string(step);
  if (digits.size() < kStepDigits) digits.insert(0, kStepDigits - digits.size(), '0');
  return "step-" + digits;
}

std::optional<std::int64_t> step_of_name(const std::string& name) {
  constexpr std::size_t kPrefix = 5, kMostDigits = 18;
  if (!starts_with(name, "step-") || name.size() < kPrefix + kStepDigits ||
      name.size() > kPrefix + kMostDigits)
    return {};
  if (!std::all_of(name.begin() + kPrefix, name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return {};
  const std::int64_t step = std::stoll(name.substr(kPrefix));
  return checkpoint_name(step) == name ? std::optional(step) : std::nullopt;
}

std::vector<std::pair<std::int64_t, Path>> list_checkpoints(const Path& run) {
  std::vector<std::pair<std::int64_t, Path>> found;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder_of(run), missing)) {
    if (!entry.is_directory()) continue;
    if (const auto step = step_of_name(entry.path().filename().string()))
      found.emplace_back(*step, entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

Checkpoint open_checkpoint(const Path& folder) {
  const std::optional<std::int64_t> step = step_of_name(folder.filename().string());
  A48_CHECK(step, ErrorKind::bad_input, folder.string(), " is no checkpoint: its name must be like ",
            checkpoint_name(500));
  A48_CHECK(fs::is_directory(folder), ErrorKind::bad_input, folder.string(), " does not exist");
  Checkpoint checkpoint;
  checkpoint.folder = folder;
  checkpoint.step = *step;
  checkpoint.manifest = format::read_manifest(folder, kFormat);
  for (const char* needed : {kWeights, kMoments, kState, kRun}) {
    const auto& files = checkpoint.manifest.files;
    const bool listed =
        std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.name == needed; });
    A48_CHECK(listed, ErrorKind::bad_input, (folder / "manifest.json").string(), ": ", needed,
              " is not listed");
  }
  const Path state = folder / kState, run = folder / kRun;
  const Json recorded = Json::parse(read_file(state), state.string());
  checkpoint.state = state_from_json(recorded);
  if (recorded.find("tokenizer") == nullptr)
    checkpoint.state.tokenizer = tokenizer_of_files(checkpoint.manifest);
  A48_CHECK(checkpoint.manifest.step == *step && checkpoint.state.step == *step, ErrorKind::bad_input,
            folder.string(), ": the folder's name says step ", *step, ", its manifest ",
            checkpoint.manifest.step, ", its state ", checkpoint.state.step);
  checkpoint.config = config::load_text(read_file(run), run.string());
  return checkpoint;
}

std::optional<Checkpoint> newest_checkpoint(const Path& run) {
  auto candidates = list_checkpoints(run);
  std::reverse(candidates.begin(), candidates.end());
  std::string reasons;
  const auto reject = [&](const std::string& name, const std::string& reason) {
    log::warning(concat("checkpoint ", name, " is not used: ", reason));
    reasons += concat("\n  ", name, ": ", reason);
  };
  if (const std::string latest = latest_name(run); !latest.empty()) {
    const auto named = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const auto& c) { return c.second.filename() == latest; });
    if (named == candidates.end()) {
      // Quoted as JSON: the file may hold anything.
      reject(Json(latest.substr(0, kMostShown)).dump(), "named by `latest`, but there is no such folder");
    } else {
      std::rotate(candidates.begin(), named, named + 1);
    }
  }
  for (const auto& [step, folder] : candidates) {
    try {
      Checkpoint checkpoint = open_checkpoint(folder);
      if (!reasons.empty())
        log::warning(concat("falling back to ", folder.filename().string(), ", step ", step));
      return checkpoint;
    } catch (const Error& error) {
      reject(folder.filename().string(), error.what());
    }
  }
  A48_CHECK(
      reasons.empty(), ErrorKind::bad_input, folder_of(run).string(), " holds no valid checkpoint:", reasons,
      "\nRestore one from a copy, or start again with --fresh, which keeps the old run under another name.");
  return std::nullopt;
}

Checkpoint find_checkpoint(const Path& path) {
  A48_CHECK(fs::is_directory(path), ErrorKind::bad_input, path.string(),
            " is no folder; wanted is a run or a checkpoint such as RUN/checkpoints/", checkpoint_name(500));
  const Path folder = path.filename().empty() ? path.parent_path() : path;  // without a trailing slash
  if (step_of_name(folder.filename().string())) return open_checkpoint(folder);
  std::optional<Checkpoint> newest = newest_checkpoint(folder);
  A48_CHECK(newest, ErrorKind::bad_input, folder.string(), " holds no checkpoint: there is nothing like ",
            folder_of(folder).string(), "/", checkpoint_name(500));
  return *std::move(newest);
}

void load_weights(const Checkpoint& checkpoint, const NamedTensors& parameters) {
  load_tensors(checkpoint.folder / kWeights, parameters);
}

void load_moments(const Checkpoint& checkpoint, AdamW& optimizer) {
  load_tensors(checkpoint.folder / kMoments, optimizer.moments());
  optimizer.set_applied(checkpoint.state.applied);
}

Path save_checkpoint(const Path& run, const Snapshot& snapshot) {
  const TrainerState& state = *snapshot.state;
  const NamedTensors& weights = snapshot.optimizer->parameters();
  const NamedTensors moments = snapshot.optimizer->moments();
  demand_finite(weights);
  demand_finite(moments);

  const std::string name = checkpoint_name(state.step);
  const Path folder = folder_of(run) / name;
  const Path temporary = folder_of(run) / concat(kTemporary, name, "-", static_cast<long>(getpid()));
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  try {
    make_folders(temporary);
    for (const auto& [file, tensors] : {std::pair{kWeights, &weights}, std::pair{kMoments, &moments}}) {
      const NamedTensors copies = on_host(*tensors);  // of one file at a time
      format::write_safetensors(temporary / file, sources_of(copies));
    }
    write_file(temporary / kState, to_json(state).dump(2) + "\n");
    write_file(temporary / kRun, config::resolved_text(*snapshot.config));
    std::vector<std::string> names{kWeights, kMoments, kState, kRun};
    if (!snapshot.tokenizer.empty()) {
      write_file(temporary / kTokenizer, read_file(snapshot.tokenizer));
      names.push_back(kTokenizer);
    }
    format::Manifest manifest;
    manifest.format = kFormat;
    manifest.step = state.step;
    manifest.tokens = state.tokens;
    manifest.stage = state.stage;
    manifest.run_sha256 = config::config_sha256(*snapshot.config);
    manifest.data_sha256 = state.data_fingerprint;
    manifest.tool = concat("a48 ", kVersion);
    for (const std::string& file : names) manifest.files.push_back(format::file_entry(temporary, file));
    for (const NamedTensors& tensors : {weights, moments}) {
      for (const auto& [tensor_name, tensor] : tensors)
        manifest.tensors[tensor_name] = {"F32", tensor.sizes().vec()};
    }
    format::write_manifest(temporary, manifest);
    sync_folder(temporary);
    if (fs::exists(folder))
      discard(folder);  // a bad one that the run fell back from, or the same step made anew
    rename_synced(temporary, folder);
    write_file(folder_of(run) / "latest", name + "\n");
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
  return folder;
}

std::vector<std::string> zero_matrices(const NamedTensors& parameters) {
  std::vector<std::string> names;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.dim() >= 2 && !parameter.detach().any().item<bool>()) names.push_back(name);
  }
  return names;
}

void retire_checkpoints(const Path& run, const config::RunConfig& config, std::int64_t saved,
                        std::int64_t resumed_from) {
  auto all = list_checkpoints(run);
  std::erase_if(all, [&](const auto& checkpoint) { return checkpoint.first > saved; });
  std::set<std::int64_t> kept{resumed_from};
  const auto last = static_cast<std::size_t>(std::max<std::int64_t>(config.run.keep_last, 1));
  std::optional<std::pair<double, std::int64_t>> best;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& [step, folder] = all[i];
    const bool regular = config.run.keep_every > 0 && step % config.run.keep_every == 0;
    if (i + last >= all.size() || regular || before_switch(config, step)) kept.insert(step);
    const std::optional<double> loss = validation_of(folder);
    if (loss && (!best || *loss < best->first)) best = {*loss, step};
  }
  if (best) kept.insert(best->second);
  for (const auto& [step, folder] : all) {
    if (!kept.count(step)) discard(folder);
  }
}

void remove_leftovers(const Path& run) {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder_of(run), missing)) {
    const std::string name = entry.path().filename().string();
    if (!starts_with(name, kTemporary) && !starts_with(name, kTrash)) continue;
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    if (failed)
      log::warning(concat("cannot delete the left-over ", entry.path().string(), ": ", failed.message()));
  }
}

void set_aside_after(const Path& run, std::int64_t step) {
  for (const auto& [later, folder] : list_checkpoints(run)) {
    if (later <= step) continue;
    Path aside = folder.string() + ".superseded";
    for (int n = 2; fs::exists(aside); ++n) aside = concat(folder.string(), ".superseded-", n);
    rename_synced(folder, aside);
    log::warning(
        concat("the run goes on from step ", step, ": its later checkpoint is now ", aside.string()));
  }
}

std::string state_hash(const AdamW& optimizer) {
  Sha256 hash;
  for (const NamedTensors& tensors : {optimizer.parameters(), optimizer.moments()}) {
    for (const auto& [name, tensor] : tensors) {
      hash.update(name.data(), name.size() + 1);  // with its NUL
      const at::Tensor copy = tensor.detach().cpu();
      hash.update(copy.const_data_ptr(), copy.nbytes());
    }
  }
  const std::int64_t applied = optimizer.applied();
  hash.update(&applied, sizeof applied);
  return hash.hex();
}

}  // namespace a48::train
