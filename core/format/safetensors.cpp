// Reader and writer of safetensors files. The reader trusts nothing: the header is checked rule by rule, and
// only then does a span of data exist (formats.md 4).
#include "core/format/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>
#include <string_view>

#include "core/base/check.h"
#include "core/base/json.h"

namespace a48::format {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and mapped as they are");

constexpr std::uint64_t kLengthBytes = 8;          // u64 header length in front
constexpr std::uint64_t kMaxHeader = 100'000'000;  // bytes
constexpr int kMaxDepth = 4;                       // nesting of the header's JSON
constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kMaxName = 512;         // bytes
constexpr std::uint64_t kDataAlignment = 64;  // of the data part in files that we write

struct Dtype {
  std::string_view name;
  int bytes;
};
constexpr std::array<Dtype, 15> kDtypes{{{"BOOL", 1},
                                         {"U8", 1},
                                         {"I8", 1},
                                         {"F8_E4M3", 1},
                                         {"F8_E5M2", 1},
                                         {"U16", 2},
                                         {"I16", 2},
                                         {"F16", 2},
                                         {"BF16", 2},
                                         {"U32", 4},
                                         {"I32", 4},
                                         {"F32", 4},
                                         {"U64", 8},
                                         {"I64", 8},
                                         {"F64", 8}}};

/// End of the JSON object that starts at text[0] (one past its brace). Brackets inside strings do not count.
std::size_t object_end(std::string_view text, const std::string& source) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      ++depth;
      A48_CHECK(depth <= kMaxDepth, ErrorKind::bad_input, source, ": the header nests deeper than ",
                kMaxDepth, " levels at byte ", kLengthBytes + i);
    }
    if ((c == '}' || c == ']') && --depth == 0) return i + 1;
  }
  fail(ErrorKind::bad_input, source, ": the header's JSON object does not end within its ", text.size(),
       " bytes");
}

/// Product with a check against 2^63 − 1; false on overflow.
bool multiply(std::uint64_t& product, std::uint64_t factor) {
  constexpr auto kLimit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (factor != 0 && product > kLimit / factor) return false;
  product *= factor;
  return true;
}

std::uint64_t size_in_bytes(const std::string& dtype, const std::vector<std::int64_t>& shape,
                            const std::string& where) {
  std::uint64_t bytes = static_cast<std::uint64_t>(dtype_bytes(dtype));
  for (const std::int64_t axis : shape)
    A48_CHECK(multiply(bytes, static_cast<std::uint64_t>(axis)), ErrorKind::bad_input, where,
              ": the product of the shape overflows 63 bits");
  return bytes;
}

void check_name(const std::string& name, const std::string& source) {
  A48_CHECK(!name.empty(), ErrorKind::bad_input, source, ": a tensor has an empty name");
  A48_CHECK(name.size() <= kMaxName, ErrorKind::bad_input, source, ": a tensor name has ", name.size(),
            " bytes; allowed are ", kMaxName, ": \"", name.substr(0, 40), "…\"");
  for (const char c : name)
    A48_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, ErrorKind::bad_input, source,
              ": a tensor name holds the control character ",
              static_cast<int>(static_cast<unsigned char>(c)));
}

std::int64_t non_negative(const Json& value, const std::string& where, const char* what) {
  A48_CHECK(value.is_integer() && value.as_int() >= 0, ErrorKind::bad_input, where, ": ", what, " holds ",
            value.dump(), "; allowed are integers from 0 to 2^63-1");
  return value.as_int();
}

const Json::Array& array_of(const Json& value, const std::string& where, const char* what) {
  A48_CHECK(value.is_array(), ErrorKind::bad_input, where, ": ", what, " is of type ", value.type_name(),
            ", not an array");
  return value.as_array();
}

TensorInfo parse_tensor(const std::string& name, const Json& entry, const std::string& source) {
  check_name(name, source);
  const std::string where = source + ": tensor \"" + name + "\"";
  A48_CHECK(entry.is_object(), ErrorKind::bad_input, where, ": its entry is of type ", entry.type_name(),
            ", not an object");
  for (const auto& [key, value] : entry.as_object())
    A48_CHECK(key == "dtype" || key == "shape" || key == "data_offsets", ErrorKind::bad_input, where,
              ": unknown field \"", key, "\"; known are dtype, shape, data_offsets");
  for (const char* key : {"dtype", "shape", "data_offsets"})
    A48_CHECK(entry.find(key) != nullptr, ErrorKind::bad_input, where, ": the field \"", key,
              "\" is missing");

  TensorInfo tensor;
  tensor.name = name;
  const Json& dtype = entry.at("dtype");
  A48_CHECK(dtype.is_string(), ErrorKind::bad_input, where, ": dtype is of type ", dtype.type_name(),
            ", not a string");
  tensor.dtype = dtype.as_string();
  A48_CHECK(
      dtype_bytes(tensor.dtype) > 0, ErrorKind::bad_input, where, ": dtype \"", tensor.dtype,
      "\" is not supported; supported are BOOL, U8, I8, F8_E4M3, F8_E5M2, U16, I16, F16, BF16, U32, I32, "
      "F32, U64, I64, F64");
  const Json::Array& shape = array_of(entry.at("shape"), where, "shape");
  A48_CHECK(shape.size() <= kMaxRank, ErrorKind::bad_input, where, ": rank ", shape.size(), "; allowed is ",
            kMaxRank);
  for (const Json& axis : shape) tensor.shape.push_back(non_negative(axis, where, "shape"));
  const Json::Array& offsets = array_of(entry.at("data_offsets"), where, "data_offsets");
  A48_CHECK(offsets.size() == 2, ErrorKind::bad_input, where, ": data_offsets holds ", offsets.size(),
            " numbers, not 2");
  tensor.begin = static_cast<std::uint64_t>(non_negative(offsets[0], where, "data_offsets"));
  tensor.end = static_cast<std::uint64_t>(non_negative(offsets[1], where, "data_offsets"));
  A48_CHECK(tensor.begin <= tensor.end, ErrorKind::bad_input, where, ": data_offsets begin at ", tensor.begin,
            " and end before it, at ", tensor.end);
  const std::uint64_t bytes = size_in_bytes(tensor.dtype, tensor.shape, where);
  A48_CHECK(bytes == tensor.end - tensor.begin, ErrorKind::bad_input, where, ": dtype and shape need ", bytes,
            " bytes, data_offsets span ", tensor.end - tensor.begin);
  return tensor;
}

std::map<std::string, std::string> parse_metadata(const Json& entry, const std::string& source) {
  A48_CHECK(entry.is_object(), ErrorKind::bad_input, source, ": __metadata__ is of type ", entry.type_name(),
            ", not an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : entry.as_object()) {
    A48_CHECK(value.is_string(), ErrorKind::bad_input, source, ": __metadata__ \"", key, "\" is of type ",
              value.type_name(), ", not a string");
    metadata[key] = value.as_string();
  }
  return metadata;
}

/// Sorts by offset; together the tensors must cover the data exactly.
void check_layout(std::vector<TensorInfo>& tensors, std::uint64_t data_bytes, const std::string& source) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  std::uint64_t covered = 0;
  for (const TensorInfo& tensor : tensors) {
    A48_CHECK(tensor.begin == covered, ErrorKind::bad_input, source, ": tensor \"", tensor.name,
              "\" begins at byte ", tensor.begin, " of the data, the one before it ends at ", covered,
              tensor.begin > covered ? "; a hole is not allowed" : "; they overlap");
    covered = tensor.end;
  }
  A48_CHECK(covered == data_bytes, ErrorKind::bad_input, source, ": the tensors need ", covered,
            " bytes of data, the file holds ", data_bytes,
            covered > data_bytes ? "; it is truncated" : "; what are the others?");
}

}  // namespace

int dtype_bytes(const std::string& dtype) {
  for (const Dtype& row : kDtypes)
    if (row.name == dtype) return row.bytes;
  return 0;
}

SafetensorsFile::SafetensorsFile(const Path& path) : file_(path) {
  const std::string source = path.string();
  const std::span<const std::byte> all = file_.bytes();
  A48_CHECK(all.size() >= kLengthBytes, ErrorKind::bad_input, source, ": ", all.size(),
            " bytes; a safetensors file has at least ", kLengthBytes);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, all.data(), kLengthBytes);
  A48_CHECK(header_bytes <= kMaxHeader, ErrorKind::bad_input, source, ": the header claims ", header_bytes,
            " bytes; allowed are ", kMaxHeader, ". Is this a safetensors file?");
  A48_CHECK(header_bytes <= all.size() - kLengthBytes, ErrorKind::bad_input, source, ": the header claims ",
            header_bytes, " bytes, the file has ", all.size() - kLengthBytes,
            " after its length; it is truncated");
  data_begin_ = kLengthBytes + header_bytes;

  const std::string_view header(reinterpret_cast<const char*>(all.data()) + kLengthBytes, header_bytes);
  A48_CHECK(!header.empty() && header.front() == '{', ErrorKind::bad_input, source,
            ": the header does not start with '{'");
  const std::size_t end = object_end(header, source);
  const std::size_t other = header.find_first_not_of(' ', end);
  A48_CHECK(other == std::string_view::npos, ErrorKind::bad_input, source,
            ": the header holds something other than spaces after its object, at byte ",
            kLengthBytes + other);
  const Json document = Json::parse(header.substr(0, end), source);
  A48_CHECK(document.is_object(), ErrorKind::bad_input, source, ": the header is no JSON object");
  for (const auto& [name, entry] : document.as_object()) {
    if (name == "__metadata__")
      metadata_ = parse_metadata(entry, source);
    else
      tensors_.push_back(parse_tensor(name, entry, source));
  }
  check_layout(tensors_, all.size() - data_begin_, source);
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorInfo& t) { return t.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  A48_ASSERT(tensor.begin <= tensor.end && tensor.end <= file_.bytes().size() - data_begin_, tensor.name);
  return file_.bytes().subspan(data_begin_ + tensor.begin, tensor.end - tensor.begin);
}

void write_safetensors(const Path& path, std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string source = path.string();
  for (const TensorSource& tensor : tensors)
    A48_ASSERT(dtype_bytes(tensor.dtype) > 0, "tensor ", tensor.name, ", dtype ", tensor.dtype);
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    const int width_a = dtype_bytes(a.dtype), width_b = dtype_bytes(b.dtype);
    return width_a != width_b ? width_a > width_b : a.name < b.name;
  });

  Json header = Json::object();
  Json notes = Json::object();
  notes["format"] = "pt";
  for (const auto& [key, value] : metadata) notes[key] = value;
  header["__metadata__"] = std::move(notes);
  std::set<std::string> names;
  std::uint64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    check_name(tensor.name, source);
    A48_CHECK(names.insert(tensor.name).second, ErrorKind::internal, source, ": two tensors named \"",
              tensor.name, "\"");
    const std::uint64_t bytes = size_in_bytes(tensor.dtype, tensor.shape, source + ": tensor " + tensor.name);
    Json entry = Json::object();
    entry["dtype"] = tensor.dtype;
    entry["shape"] = Json::array();
    for (const std::int64_t axis : tensor.shape) entry["shape"].push_back(axis);
    entry["data_offsets"] = Json::Array{offset, offset + bytes};
    header.as_object().emplace_back(tensor.name, std::move(entry));
    offset += bytes;
  }
  std::string text = header.dump();
  while ((kLengthBytes + text.size()) % kDataAlignment != 0) text += ' ';
  A48_CHECK(text.size() <= kMaxHeader, ErrorKind::bad_input, source, ": the header would need ", text.size(),
            " bytes; allowed are ", kMaxHeader);

  FileWriter writer(path);
  const std::uint64_t header_bytes = text.size();
  writer.write(&header_bytes, kLengthBytes);
  writer.write(text);
  for (const TensorSource& tensor : tensors)
    writer.write(tensor.data, size_in_bytes(tensor.dtype, tensor.shape, source));
  writer.commit();
}

}  // namespace a48::format
