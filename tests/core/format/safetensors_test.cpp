#include "core/format/safetensors.h"

#include <cstring>
#include <fstream>
#include <limits>

#include "core/base/json.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/temp_dir.h"

namespace a48::format {
namespace {

std::string file_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

void put(const Path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

const std::string kHeader =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"U8","shape":[4],"data_offsets":[24,28]}}  )";
const std::string kData = "abcdefghijklmnopqrstuvwxyz01";

TEST_CASE("safetensors: written tensors read back with their bytes, names, shapes and notes") {
  const test::TempDir dir;
  const float wide[6] = {1.5f, -0.0f, 3e38f, 1e-45f, 0.1f, -7.0f};
  const std::uint16_t half[2] = {0x3F80, 0xBF80};
  const std::uint8_t one = 7;
  write_safetensors(dir / "m.safetensors",
                    {{"z.small", "U8", {}, &one},
                     {"b", "F32", {2, 3}, wide},
                     {"h", "BF16", {2}, half},
                     {"a", "F32", {0, 5}, nullptr}},
                    {{"note", "ümlaut \"quoted\""}});
  const SafetensorsFile file(dir / "m.safetensors");
  std::vector<std::string> names;
  for (const TensorInfo& tensor : file.tensors()) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"a", "b", "h", "z.small"});  // width descending, then name
  CHECK(file.metadata() ==
        std::map<std::string, std::string>{{"format", "pt"}, {"note", "ümlaut \"quoted\""}});
  REQUIRE(file.find("b") != nullptr);
  CHECK(file.find("b")->shape == std::vector<std::int64_t>{2, 3});
  CHECK(std::memcmp(file.bytes(*file.find("b")).data(), wide, sizeof(wide)) == 0);
  CHECK(file.bytes(*file.find("a")).empty());
  CHECK(file.find("z.small")->shape.empty());
  CHECK(std::to_integer<int>(file.bytes(*file.find("z.small"))[0]) == 7);
  CHECK(file.find("c") == nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(file.bytes(*file.find("b")).data()) % 64 == 0);
}

TEST_CASE("safetensors: the bytes of a written file are fixed, whatever the order of its tensors") {
  const test::TempDir dir;
  const std::uint16_t h = 0x0102;
  const float f = 1.0f;
  write_safetensors(dir / "1", {{"h", "F16", {1}, &h}, {"f", "F32", {1}, &f}});
  write_safetensors(dir / "2", {{"f", "F32", {1}, &f}, {"h", "F16", {1}, &h}});
  const std::string bytes = read_file(dir / "1");
  CHECK(bytes == read_file(dir / "2"));
  std::string header =
      R"({"__metadata__": {"format": "pt"}, "f": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, )"
      R"("h": {"dtype": "F16", "shape": [1], "data_offsets": [4, 6]}})";
  header.resize(184, ' ');  // 8 + 184 = 3 · 64
  CHECK(bytes == file_bytes(header, std::string("\0\0\x80\x3F\x02\x01", 6)));
}

TEST_CASE("safetensors: each rule of the header refuses a file that breaks it") {
  const test::TempDir dir;
  const Path path = dir / "broken";
  const auto refuses = [&](const std::string& bytes, const std::string& reason) {
    put(path, bytes);
    INFO(reason << " | " << bytes.substr(std::min<std::size_t>(8, bytes.size())));
    CHECK_ERROR(SafetensorsFile(path), ErrorKind::bad_input, path.string(), reason);
  };
  const auto header = [&](const std::string& text, const std::string& reason,
                          const std::string& data = "1234") { refuses(file_bytes(text, data), reason); };
  const auto tensor = [&](const std::string& entry, const std::string& reason,
                          const std::string& data = "1234") {
    header("{\"t\":" + entry + "}", reason, data);
  };

  put(path, file_bytes(kHeader, kData));
  CHECK(SafetensorsFile(path).tensors().size() == 2);
  put(path, file_bytes("{}", ""));
  CHECK(SafetensorsFile(path).tensors().empty());

  refuses("", "at least 8");
  refuses("1234567", "at least 8");
  refuses(file_bytes("{}", "").substr(0, 9), "truncated");
  const std::uint64_t huge = 100'000'001, most = std::numeric_limits<std::uint64_t>::max();
  refuses(std::string(reinterpret_cast<const char*>(&huge), 8) + "{}", "allowed are 100000000");
  refuses(std::string(reinterpret_cast<const char*>(&most), 8) + "{}", "allowed are 100000000");
  refuses(file_bytes("", ""), "does not start with '{'");
  header(" {}", "does not start with '{'");
  header("[]", "does not start with '{'");
  header("{", "does not end");
  header("{}\n", "other than spaces", "");
  header("{}}", "other than spaces", "");
  header("{\"\xFF\":1}", "not JSON");
  header("{\"a\":}", "not JSON");
  header(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
      "duplicate key");
  tensor(R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})", "duplicate key");
  tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"scale":1})", "unknown field \"scale\"");
  tensor(R"({"dtype":"U8","shape":[4]})", "\"data_offsets\" is missing");
  tensor(R"({"dtype":"U8","data_offsets":[0,4]})", "\"shape\" is missing");
  tensor(R"({"shape":[4],"data_offsets":[0,4]})", "\"dtype\" is missing");
  tensor("3", "not an object");
  tensor(R"({"dtype":"F4","shape":[4],"data_offsets":[0,4]})", "dtype \"F4\" is not supported");
  tensor(R"({"dtype":8,"shape":[4],"data_offsets":[0,4]})", "not a string");
  tensor(R"({"dtype":"U8","shape":4,"data_offsets":[0,4]})", "not an array");
  tensor(R"({"dtype":"U8","shape":[-4],"data_offsets":[0,4]})", "-4");
  tensor(R"({"dtype":"U8","shape":[4.0],"data_offsets":[0,4]})", "4.0");
  tensor(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]})", "63 bits");
  tensor(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]})", "rank 9");
  tensor(R"({"dtype":"F64","shape":[2147483648,2147483648],"data_offsets":[0,4]})", "overflows");
  tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})", "not 2");
  tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[-1,4]})", "-1");
  tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[4,0]})", "end before it");
  tensor(R"({"dtype":"U8","shape":[3],"data_offsets":[0,4]})", "need 3 bytes");
  tensor(R"({"dtype":"U8","shape":[5],"data_offsets":[0,5]})", "truncated");
  tensor(R"({"dtype":"U8","shape":[3],"data_offsets":[0,3]})", "the file holds 4");
  tensor(R"({"dtype":"U8","shape":[3],"data_offsets":[1,4]})", "hole");
  header(
      R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
      "overlap");
  header(
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
      "overlap");
  tensor(R"({"dtype":"U8","shape":[[[4]]],"data_offsets":[0,4]})", "nests deeper");
  header(R"({"":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "empty name");
  header("{\"" + std::string(513, 'n') + R"(":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "513");
  header(R"({"a\u0001":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "control character 1");
  header(R"({"__metadata__":{"a":1}})", "not a string", "");
  header(R"({"__metadata__":[]})", "not an object", "");
}

TEST_CASE("safetensors: every truncation is refused") {
  const test::TempDir dir;
  const std::string whole = file_bytes(kHeader, kData);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(dir / "t", whole.substr(0, size));
    INFO(size);
    CHECK_ERROR(SafetensorsFile(dir / "t"), ErrorKind::bad_input, (dir / "t").string());
  }
}

// What a reader that trusts the header would hand out; the file must agree with it or be refused.
void check_agrees(const SafetensorsFile& file, const std::string& header) {
  const Json document = Json::parse(header, "header");
  std::uint64_t covered = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    const Json& entry = document.at(tensor.name);
    CHECK(entry.at("dtype").as_string() == tensor.dtype);
    CHECK(static_cast<std::uint64_t>(entry.at("data_offsets").as_array()[0].as_int()) == tensor.begin);
    CHECK(tensor.begin == covered);
    covered = tensor.end;
    std::uint64_t bytes = static_cast<std::uint64_t>(dtype_bytes(tensor.dtype));
    for (const std::int64_t axis : tensor.shape) bytes *= static_cast<std::uint64_t>(axis);
    CHECK(file.bytes(tensor).size() == bytes);
  }
  CHECK(covered == kData.size());
}

// Every byte that means something in JSON, and a few that mean nothing anywhere.
constexpr int kReplacements[] = {0x00, 0x01, 0x0A, 0x20, '"', ',', '-', '.',  '0',  '1',  '9',
                                 ':',  '[',  '\\', ']',  'U', '{', '}', 0x7F, 0x80, 0xC3, 0xFF};

TEST_CASE("safetensors: every single-byte change of the header is refused or means what it says") {
  const test::TempDir dir;
  const std::string whole = file_bytes(kHeader, kData);
  int accepted = 0;
  for (std::size_t at = 0; at < 8 + kHeader.size(); ++at) {
    for (const int value : kReplacements) {
      std::string changed = whole;
      if (changed[at] == static_cast<char>(value)) continue;
      changed[at] = static_cast<char>(value);
      put(dir / "c", changed);
      try {
        const SafetensorsFile file(dir / "c");
        ++accepted;
        CHECK(at >= 8);  // another length never fits
        check_agrees(file, changed.substr(8, kHeader.size()));
      } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::bad_input);
      }
    }
  }
  CHECK(accepted > 0);  // other names and notes are valid files
}

}  // namespace
}  // namespace a48::format
