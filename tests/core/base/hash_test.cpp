#include "core/base/hash.h"

#include "core/base/check.h"
#include "core/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace a48::test {

// FIPS 180-2, appendix B.
TEST_CASE("SHA-256 of the standard's examples") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("pieces and files hash like the whole") {
  const std::string text(2500000, 'q');
  Sha256 hash;
  hash.update(text.data(), 1);
  hash.update(text.data() + 1, 0);
  hash.update(text.data() + 1, text.size() - 1);
  CHECK(hash.hex() == sha256_hex(text));
  const TempDir dir;
  write_file(dir / "f", text);
  CHECK(sha256_file(dir / "f") == sha256_hex(text));
  CHECK_THROWS_AS(sha256_file(dir / "none"), Error);
}

}  // namespace a48::test
