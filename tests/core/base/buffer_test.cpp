#include "core/base/buffer.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/base/check.h"
#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("a buffer is aligned, zeroed and as long as asked") {
  for (const std::int64_t size : {1, 63, 64, 65, 1000}) {
    Buffer<std::int32_t> buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % kBufferAlignment == 0);
    CHECK(buffer.size() == size);
    CHECK(std::all_of(buffer.span().begin(), buffer.span().end(), [](int x) { return x == 0; }));
    buffer[size - 1] = 5;
    CHECK(buffer.rows(1, size).row(0)[size - 1] == 5);
  }
}

TEST_CASE("an empty buffer holds nothing") {
  CHECK(Buffer<float>().data() == nullptr);
  CHECK(Buffer<float>(0).span().empty());
}

TEST_CASE("a buffer that does not fit is an error that names its size") {
  try {
    aligned_zeroed(std::numeric_limits<std::size_t>::max() - 7);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::no_resources);
    CHECK(std::string(error.what()).find("18446744073709551608 bytes") != std::string::npos);
  }
}

}  // namespace a48::test
