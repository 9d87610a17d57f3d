// manifest.json: written last into a folder, read first out of it (formats.md 8).
#include "core/format/manifest.h"

#include <set>
#include <string_view>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/log.h"

namespace a48::format {
namespace {

constexpr const char* kName = "manifest.json";
constexpr std::string_view kSelfKey = "\"self_sha256\": \"";
constexpr std::size_t kDigits = 64;  // hex digits of a SHA-256

/// Where the digits of self_sha256 stand; npos when the text does not end with that member.
std::size_t self_digits(std::string_view text) {
  const std::size_t key = text.rfind(kSelfKey);
  if (key == std::string_view::npos || key + kSelfKey.size() + kDigits > text.size())
    return std::string_view::npos;
  return key + kSelfKey.size();
}

Json files_json(const std::vector<FileEntry>& files) {
  Json list = Json::array();
  for (const FileEntry& file : files) {
    Json entry = Json::object();
    entry["name"] = file.name;
    entry["bytes"] = file.bytes;
    entry["sha256"] = file.sha256;
    list.push_back(std::move(entry));
  }
  return list;
}

Json tensors_json(const std::map<std::string, TensorEntry>& tensors) {
  Json all = Json::object();
  for (const auto& [name, tensor] : tensors) {
    Json entry = Json::object();
    entry["dtype"] = tensor.dtype;
    entry["shape"] = Json::array();
    for (const std::int64_t axis : tensor.shape) entry["shape"].push_back(axis);
    all.as_object().emplace_back(name, std::move(entry));
  }
  return all;
}

Manifest parse(const Json& document) {
  Manifest manifest;
  manifest.format = document.at("format").as_string();
  manifest.step = document.at("step").as_int();
  manifest.tokens = document.at("tokens").as_int();
  manifest.stage = document.at("stage").as_int();
  manifest.run_sha256 = document.at("run_sha256").as_string();
  manifest.data_sha256 = document.at("data_sha256").as_string();
  manifest.tool = document.at("tool").as_string();
  manifest.world_size = document.at("world_size").as_int();
  for (const Json& entry : document.at("files").as_array())
    manifest.files.push_back({entry.at("name").as_string(),
                              static_cast<std::uint64_t>(entry.at("bytes").as_int()),
                              entry.at("sha256").as_string()});
  for (const auto& [name, entry] : document.at("tensors").as_object()) {
    TensorEntry tensor{entry.at("dtype").as_string(), {}};
    for (const Json& axis : entry.at("shape").as_array()) tensor.shape.push_back(axis.as_int());
    manifest.tensors[name] = std::move(tensor);
  }
  return manifest;
}

void verify_file(const Path& folder, const FileEntry& entry) {
  const Path path = folder / entry.name;
  A48_CHECK(Path(entry.name).filename() == entry.name && entry.name != "." && entry.name != "..",
            ErrorKind::bad_input, (folder / kName).string(), ": \"", entry.name,
            "\" is not a plain file name");
  A48_CHECK(std::filesystem::is_regular_file(path), ErrorKind::bad_input, path.string(),
            ": missing, though the manifest lists it");
  const std::uint64_t bytes = std::filesystem::file_size(path);
  A48_CHECK(bytes == entry.bytes, ErrorKind::bad_input, path.string(), ": ", bytes,
            " bytes; the manifest says ", entry.bytes);
  const std::string sha256 = sha256_file(path);
  A48_CHECK(sha256 == entry.sha256, ErrorKind::bad_input, path.string(), ": altered; its SHA-256 is ", sha256,
            ", the manifest says ", entry.sha256);
}

void warn_of_unlisted(const Path& folder, const Manifest& manifest) {
  std::set<std::string> known{kName};
  for (const FileEntry& file : manifest.files) known.insert(file.name);
  for (const auto& item : std::filesystem::directory_iterator(folder))
    if (!known.contains(item.path().filename().string()))
      log::warning(item.path().string() + " is not listed in the manifest and is ignored");
}

}  // namespace

FileEntry file_entry(const Path& folder, const std::string& name) {
  return {name, std::filesystem::file_size(folder / name), sha256_file(folder / name)};
}

void write_manifest(const Path& folder, const Manifest& manifest) {
  Json document = Json::object();
  document["format"] = manifest.format;
  document["step"] = manifest.step;
  document["tokens"] = manifest.tokens;
  document["stage"] = manifest.stage;
  document["run_sha256"] = manifest.run_sha256;
  document["data_sha256"] = manifest.data_sha256;
  document["tool"] = manifest.tool;
  document["world_size"] = manifest.world_size;
  document["files"] = files_json(manifest.files);
  document["tensors"] = tensors_json(manifest.tensors);
  document["self_sha256"] = std::string(kDigits, '0');
  std::string text = document.dump(1) + "\n";
  const std::size_t digits = self_digits(text);
  A48_ASSERT(digits != std::string::npos, text);
  text.replace(digits, kDigits, sha256_hex(text));
  write_file(folder / kName, text);
}

Manifest read_manifest(const Path& folder, const std::string& format, bool verify_files) {
  const Path path = folder / kName;
  std::string text = read_file(path);
  const std::size_t digits = self_digits(text);
  A48_CHECK(digits != std::string::npos, ErrorKind::bad_input, path.string(),
            ": no self_sha256 at its end; it is truncated or no manifest");
  const std::string claimed = text.substr(digits, kDigits);
  const Json document = Json::parse(text, path.string());
  text.replace(digits, kDigits, std::string(kDigits, '0'));
  A48_CHECK(sha256_hex(text) == claimed, ErrorKind::bad_input, path.string(),
            ": altered; its own SHA-256 does not match");
  Manifest manifest;
  try {
    manifest = parse(document);
  } catch (const Error& error) {
    fail(ErrorKind::bad_input, path.string(), ": ", error.what());
  }
  A48_CHECK(manifest.format == format, ErrorKind::bad_input, path.string(), ": the format is \"",
            manifest.format, "\", expected \"", format, "\"");
  if (!verify_files) return manifest;
  for (const FileEntry& file : manifest.files) verify_file(folder, file);
  warn_of_unlisted(folder, manifest);
  return manifest;
}

}  // namespace a48::format
