// `a48 inspect`: what a run, a checkpoint, a folder of shards, a shard or a safetensors file holds.
// Everything is gathered as one JSON value; without --json it is printed as an indented list. --verify reads
// all bytes: hashes, ids, finite weights.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <limits>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/format/manifest.h"
#include "core/format/safetensors.h"
#include "core/kernels/api.h"
#include "data/shard.h"
#include "tools/commands.h"

namespace a48::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = "a48-checkpoint/1";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// RUN/checkpoints/step-00000500: digits only after the dash.
bool is_checkpoint_name(const std::string& name) {
  constexpr std::size_t kPrefix = 5, kDigits = 8;
  return name.rfind("step-", 0) == 0 && name.size() >= kPrefix + kDigits &&
         std::all_of(name.begin() + kPrefix, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<Path> children(const Path& folder) {
  std::vector<Path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

Json shape_of(const std::vector<std::int64_t>& shape) {
  Json list = Json::array();
  for (const std::int64_t size : shape) list.push_back(size);
  return list;
}

bool is_ternary_matrix(const format::TensorInfo& info) {
  return info.dtype == "F32" && info.shape.size() == 2 && ends_with(info.name, "_proj.weight") &&
         info.name.rfind("model.", 0) == 0;
}

/// Shares of {-1, 0, +1} of a master's codes, and their scale.
Json ternary(const format::TensorInfo& info, std::span<const std::byte> bytes) {
  const std::int64_t rows = info.shape[0], cols = info.shape[1];
  Buffer<float> weight(rows * cols);
  std::memcpy(weight.data(), bytes.data(), bytes.size());
  Buffer<std::int8_t> codes(rows * cols);
  float alpha = 0.0f;
  std::uint8_t status = kernels::kRowFinite;
  kernels::ternarize_weight(
      {Rows<const float>(weight.data(), rows, cols), codes.rows(rows, cols), &alpha, &status});
  Json result = Json::object();
  const double count = static_cast<double>(codes.size());
  for (const auto& [name, code] : {std::pair("minus", -1), std::pair("zero", 0), std::pair("plus", 1)}) {
    result[name] = static_cast<double>(std::count(codes.data(), codes.data() + codes.size(), code)) / count;
  }
  result["alpha"] = static_cast<double>(alpha);
  return result;
}

void demand_finite(const Path& file, const format::TensorInfo& info, std::span<const std::byte> bytes) {
  if (info.dtype != "F32") return;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
    float value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    A48_CHECK(std::isfinite(value), ErrorKind::check_failed, file.string(), ": ", info.name,
              " holds a value that is not finite");
  }
}

Json of_safetensors(const Path& path, bool verify) {
  const format::SafetensorsFile file(path);
  Json result = Json::object(), tensors = Json::object();
  std::int64_t values = 0;
  std::vector<const format::TensorInfo*> by_name;
  for (const format::TensorInfo& info : file.tensors()) by_name.push_back(&info);
  std::sort(by_name.begin(), by_name.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const format::TensorInfo* info : by_name) {
    std::int64_t count = 1;
    for (const std::int64_t size : info->shape) count *= size;
    values += count;
    Json entry = Json::object();
    entry["dtype"] = info->dtype;
    entry["shape"] = shape_of(info->shape);
    if (verify) demand_finite(path, *info, file.bytes(*info));
    if (is_ternary_matrix(*info)) entry["ternary"] = ternary(*info, file.bytes(*info));
    tensors[info->name] = entry;
  }
  result["kind"] = "safetensors";
  result["file"] = path.string();
  result["values"] = values;
  result["tensors"] = tensors;
  return result;
}

Json of_shard(const data::Shard& shard, bool verify, std::int64_t vocabulary) {
  Json result = Json::object();
  result["file"] = shard.path().filename().string();
  result["tokens"] = shard.tokens();
  result["bytes_per_token"] = shard.header().width;
  result["tokenizer_size"] = shard.header().tokenizer_size;
  if (!verify) return result;
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < shard.tokens(); ++i) {
    const std::uint32_t id = shard.token(i);
    A48_CHECK(vocabulary == 0 || id < vocabulary, ErrorKind::check_failed, shard.path().string(), ": token ",
              i, " is ", id, ", the tokenizer has ", vocabulary, " ids");
    largest = std::max(largest, id);
  }
  result["max_id"] = static_cast<std::int64_t>(largest);
  return result;
}

Json of_shards(const Path& folder, bool verify) {
  const std::int64_t hashed = verify ? std::numeric_limits<std::int64_t>::max() : data::kHashedBytes;
  const data::ShardSet set = data::open_shards(folder, "*.bin", 0, {}, hashed);
  Json result = Json::object(), shards = Json::array();
  for (std::size_t i = 0; i < set.shards.size(); ++i) {
    const data::Shard& shard = *set.shards[i];
    const Json found = of_shard(shard, verify, set.vocab_size);
    A48_CHECK(!verify || set.max_ids[i] < 0 || found.at("max_id").as_int() == set.max_ids[i],
              ErrorKind::check_failed, shard.path().string(), ": the largest id is ",
              found.at("max_id").as_int(), ", the sidecar says ", set.max_ids[i]);
    shards.push_back(found);
  }
  result["kind"] = "shards";
  result["folder"] = folder.string();
  result["tokens"] = set.tokens;
  result["fingerprint"] = set.fingerprint;
  result["tokenizer"] = set.tokenizer_kind.empty() ? Json() : Json(set.tokenizer_kind);
  result["vocab_size"] = set.vocab_size;
  result["delimiter"] = set.delimiter;
  result["verified"] = verify;
  result["shards"] = shards;
  return result;
}

Json summary(const format::Manifest& manifest) {
  Json result = Json::object();
  result["step"] = manifest.step;
  result["tokens"] = manifest.tokens;
  result["stage"] = manifest.stage;
  result["tool"] = manifest.tool;
  return result;
}

Json parsed(const Path& file) { return Json::parse(read_file(file), file.string()); }

Json of_checkpoint(const Path& folder, bool verify) {
  const format::Manifest manifest = format::read_manifest(folder, kCheckpoint, verify);
  Json result = summary(manifest);
  result["kind"] = "checkpoint";
  result["folder"] = folder.string();
  result["verified"] = verify;
  std::uint64_t bytes = 0;
  for (const format::FileEntry& file : manifest.files) bytes += file.bytes;
  result["bytes"] = bytes;
  result["state"] = parsed(folder / "trainer_state.json");
  result["config"] = parsed(folder / "run.json");
  result["model"] = of_safetensors(folder / "model.safetensors", verify);
  if (verify) of_safetensors(folder / "optimizer.safetensors", verify);
  return result;
}

Json of_run(const Path& run, bool verify) {
  Json result = Json::object(), checkpoints = Json::array();
  bool whole = true;
  for (const Path& folder : children(run / "checkpoints")) {
    if (!is_checkpoint_name(folder.filename().string())) continue;
    Json entry = Json::object();
    entry["folder"] = folder.filename().string();
    try {
      const Json found = summary(format::read_manifest(folder, kCheckpoint, verify));
      for (const auto& [key, value] : found.as_object()) entry[key] = value;
    } catch (const Error& error) {
      entry["problem"] = error.what();
      whole = false;
    }
    checkpoints.push_back(entry);
  }
  result["kind"] = "run";
  result["folder"] = run.string();
  const Path latest = run / "checkpoints/latest";
  std::string name = fs::exists(latest) ? read_file(latest) : "";
  if (!name.empty() && name.back() == '\n') name.pop_back();
  result["latest"] = name.empty() ? Json() : Json(name);
  result["verified"] = verify && whole;
  result["checkpoints"] = checkpoints;
  if (fs::exists(run / "results.json")) result["results"] = parsed(run / "results.json");
  if (fs::exists(run / "run.json")) result["config"] = parsed(run / "run.json");
  return result;
}

enum class Kind { run, checkpoint, shards, safetensors, shard, packed };

Kind kind_of(const Path& path) {
  A48_CHECK(fs::exists(path), ErrorKind::bad_input, path.string(), " does not exist");
  if (fs::is_directory(path)) {
    if (fs::exists(path / "checkpoints")) return Kind::run;
    if (fs::exists(path / "manifest.json")) return Kind::checkpoint;
    const std::vector<Path> files = children(path);
    if (std::any_of(files.begin(), files.end(), [](const Path& file) { return file.extension() == ".bin"; }))
      return Kind::shards;
  } else if (path.extension() == ".safetensors") {
    return Kind::safetensors;
  } else if (path.extension() == ".a48") {
    return Kind::packed;
  } else if (path.extension() == ".bin") {
    return Kind::shard;
  }
  fail(ErrorKind::bad_input, path.string(),
       ": not a run (with checkpoints/), a checkpoint (with manifest.json), a folder of shards, a .bin or a "
       ".safetensors file");
}

Json contents(Kind kind, const Path& path, bool verify) {
  switch (kind) {
    case Kind::run:
      return of_run(path, verify);
    case Kind::checkpoint:
      return of_checkpoint(path, verify);
    case Kind::shards:
      return of_shards(path, verify);
    case Kind::safetensors:
      return of_safetensors(path, verify);
    case Kind::packed:
      return packed_report(path.string(), verify);
    case Kind::shard: {
      const data::Shard shard(path);
      return of_shard(shard, verify, shard.header().tokenizer_size);
    }
  }
  return {};
}

/// With --verify, whatever is wrong with what is there is a check that failed, not an input that is missing.
Json gather(const InspectOptions& options, const StepReader& data_read_at) {
  const Path path = options.path;
  const Kind kind = kind_of(path);
  if (options.step) {
    A48_CHECK(kind == Kind::run || kind == Kind::checkpoint, ErrorKind::bad_input, options.path,
              ": no run or checkpoint; --step asks one which tokens it read");
    return data_read_at(options.path, *options.step);
  }
  try {
    return contents(kind, path, options.verify);
  } catch (const Error& error) {
    if (!options.verify || error.kind() != ErrorKind::bad_input) throw;
    throw Error(ErrorKind::check_failed, error.what());
  }
}

bool is_flat(const Json& value) {
  if (value.is_object()) {
    return std::all_of(value.as_object().begin(), value.as_object().end(), [](const auto& member) {
      return !member.second.is_object() && !member.second.is_array();
    });
  }
  return !value.is_array() ||
         std::none_of(value.as_array().begin(), value.as_array().end(),
                      [](const Json& item) { return item.is_object() || item.is_array(); });
}

/// "F32 [512, 192], codes -1 34.4 %, 0 31.2 %, +1 34.5 %, scale 0.0164"
std::string tensor_line(const Json& tensor) {
  std::string line = tensor.at("dtype").as_string() + " " + tensor.at("shape").dump();
  if (const Json* codes = tensor.find("ternary")) {
    char text[96];
    std::snprintf(text, sizeof text, ", codes -1 %.1f %%, 0 %.1f %%, +1 %.1f %%, scale %.4g",
                  100 * codes->at("minus").as_double(), 100 * codes->at("zero").as_double(),
                  100 * codes->at("plus").as_double(), codes->at("alpha").as_double());
    line += text;
  }
  return line;
}

void print(const Json& value, int indent) {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  for (const auto& [key, member] : value.as_object()) {
    const bool is_tensor = member.find("shape") != nullptr;
    if (is_tensor || is_flat(member)) {
      std::cout << margin << key << ": "
                << (is_tensor            ? tensor_line(member)
                    : member.is_string() ? member.as_string()
                                         : member.dump())
                << "\n";
      continue;
    }
    std::cout << margin << key << ":\n";
    if (member.is_object()) {
      print(member, indent + 2);
    } else {
      for (const Json& item : member.as_array()) std::cout << margin << "  " << item.dump() << "\n";
    }
  }
}

}  // namespace

ExitCode run_inspect(const InspectOptions& options, const StepReader& data_read_at) {
  const Json result = gather(options, data_read_at);
  if (options.json) {
    std::cout << result.dump(2) << "\n";
  } else {
    print(result, 0);
  }
  const Json* verified = result.find("verified");
  const bool failed = options.verify && verified != nullptr && !verified->as_bool();
  return failed ? ExitCode::check_failed : ExitCode::done;
}

}  // namespace a48::tools
