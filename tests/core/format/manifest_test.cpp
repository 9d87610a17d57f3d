#include "core/format/manifest.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/temp_dir.h"

namespace a48::format {
namespace {

constexpr const char* kFormat = "a48-checkpoint/1";

/// Without the fsync of write_file: these files need not outlive a power cut.
void put(const Path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A folder with two files and their manifest.
void fill(const Path& folder) {
  write_file(folder / "model.bin", "weights");
  write_file(folder / "state.json", "{}");
  Manifest manifest;
  manifest.format = kFormat;
  manifest.step = 500;
  manifest.tokens = 1'000'000'000'000;
  manifest.stage = 1;
  manifest.run_sha256 = "aa";
  manifest.data_sha256 = "bb";
  manifest.tool = "a48 test";
  for (const char* name : {"model.bin", "state.json"}) manifest.files.push_back(file_entry(folder, name));
  manifest.tensors["w"] = {"F32", {2, 3}};
  manifest.tensors["gain"] = {"F32", {}};
  write_manifest(folder, manifest);
}

TEST_CASE("manifest: every field reads back") {
  const test::TempDir dir;
  fill(dir.path());
  const Manifest manifest = read_manifest(dir.path(), kFormat);
  CHECK(manifest.step == 500);
  CHECK(manifest.tokens == 1'000'000'000'000);
  CHECK(manifest.stage == 1);
  CHECK(manifest.world_size == 1);
  CHECK(manifest.run_sha256 == "aa");
  CHECK(manifest.data_sha256 == "bb");
  CHECK(manifest.tool == "a48 test");
  REQUIRE(manifest.files.size() == 2);
  CHECK(manifest.files[0].name == "model.bin");
  CHECK(manifest.files[0].bytes == 7);
  CHECK(manifest.tensors.at("w") == TensorEntry{"F32", {2, 3}});
  CHECK(manifest.tensors.at("gain") == TensorEntry{"F32", {}});
}

TEST_CASE("manifest: one changed byte in any file of the folder, itself included, is refused") {
  const test::TempDir dir;
  for (const char* name : {"model.bin", "state.json", "manifest.json"}) {
    fill(dir.path());
    const std::string whole = read_file(dir / name);
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = changed[at] == '1' ? '2' : '1';
      put(dir / name, changed);
      INFO(name << " byte " << at);
      CHECK_ERROR(read_manifest(dir.path(), kFormat), ErrorKind::bad_input, (dir / name).string());
    }
  }
}

TEST_CASE("manifest: truncated, missing and foreign files are named") {
  const test::TempDir dir;
  CHECK_ERROR(read_manifest(dir.path(), kFormat), ErrorKind::bad_input, "manifest.json");
  fill(dir.path());
  CHECK_ERROR(read_manifest(dir.path(), "a48-export/1"), ErrorKind::bad_input, "a48-export/1", kFormat);
  const std::string whole = read_file(dir / "manifest.json");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(dir / "manifest.json", whole.substr(0, size));
    CHECK_ERROR(read_manifest(dir.path(), kFormat), ErrorKind::bad_input, "manifest.json");
  }
  fill(dir.path());
  write_file(dir / "model.bin", "weight");
  CHECK_ERROR(read_manifest(dir.path(), kFormat), ErrorKind::bad_input, "model.bin", "6 bytes", "says 7");
  CHECK(read_manifest(dir.path(), kFormat, false).step == 500);
  std::filesystem::remove(dir / "model.bin");
  CHECK_ERROR(read_manifest(dir.path(), kFormat), ErrorKind::bad_input, "model.bin", "missing");
}

TEST_CASE("manifest: a file that it does not list changes nothing") {
  const test::TempDir dir;
  fill(dir.path());
  write_file(dir / "notes.txt", "mine");
  CHECK(read_manifest(dir.path(), kFormat).files.size() == 2);
}

TEST_CASE("manifest: a listed name that leaves the folder is refused") {
  const test::TempDir dir;
  write_file(dir / "model.bin", "weights");
  std::filesystem::create_directory(dir / "inner");
  Manifest manifest;
  manifest.format = kFormat;
  manifest.files = {file_entry(dir.path(), "model.bin")};
  manifest.files[0].name = "../model.bin";
  write_manifest(dir / "inner", manifest);
  CHECK_ERROR(read_manifest(dir / "inner", kFormat), ErrorKind::bad_input, "not a plain file name");
}

}  // namespace
}  // namespace a48::format
