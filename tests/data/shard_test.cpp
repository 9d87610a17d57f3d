#include "data/shard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"

namespace a48::data {
namespace {

using test::put;
using test::put_shard;
using test::shard_bytes;

constexpr const char* kTrain = "*_train_*.bin";

std::string with_int(std::string bytes, std::size_t index, std::int32_t value) {
  std::memcpy(bytes.data() + 4 * index, &value, sizeof(value));
  return bytes;
}

TEST_CASE("shard: header and tokens read back, in both widths") {
  const test::TempDir dir;
  const std::string sha = sha256_hex("tokenizer");
  put_shard(dir / "x_train_000000.bin", {1, 65535, 0}, {2, 0, 65536, sha});
  put_shard(dir / "x_train_000001.bin", {1, 70000}, {4, 0, 70001, sha});
  const Shard narrow(dir / "x_train_000000.bin"), wide(dir / "x_train_000001.bin");
  CHECK(narrow.tokens() == 3);
  CHECK(narrow.token(1) == 65535);
  CHECK(narrow.bytes() == 1024 + 6);
  CHECK(narrow.header().tokenizer_size == 65536);
  CHECK(narrow.header().tokenizer_sha256 == sha);
  CHECK(wide.token(1) == 70000);
  CHECK(wide.header().width == 4);
}

TEST_CASE("shard: the header stands at the offsets that other readers know") {
  const std::string bytes = shard_header({2, 5, 300, sha256_hex("t")});
  REQUIRE(bytes.size() == 1024);
  std::int32_t ints[256];
  std::memcpy(ints, bytes.data(), sizeof(ints));
  CHECK(ints[0] == 20240520);
  CHECK(ints[1] == 1);
  CHECK(ints[2] == 5);
  CHECK(ints[3] == 300);
  for (int i = 12; i < 256; ++i) CHECK(ints[i] == 0);
  const std::string wide = shard_header({4, 5, 0, ""});
  std::memcpy(ints, wide.data(), sizeof(ints));
  CHECK(ints[0] == 20240801);
  CHECK(ints[1] == 7);
  for (int i = 3; i < 256; ++i) CHECK(ints[i] == 0);
}

TEST_CASE("shard: each header rule refuses a file that breaks it") {
  const test::TempDir dir;
  const Path path = dir / "b_train_000000.bin";
  const std::string good = shard_bytes({1, 2, 3}, {2, 0, 0, ""});
  const auto refuses = [&](const std::string& bytes, const std::string& reason) {
    put(path, bytes);
    INFO(reason);
    CHECK_ERROR(Shard(path), ErrorKind::bad_input, path.string(), reason);
  };
  put(path, good);
  CHECK(Shard(path).tokens() == 3);
  for (const std::size_t size : {0, 1, 1023}) refuses(good.substr(0, size), "truncated");
  refuses(with_int(good, 0, 20240521), "20240521");
  refuses(with_int(good, 0, 20240801), "version 1 of magic 20240801");
  refuses(with_int(good, 1, 7), "version 7 of magic 20240520");
  refuses(with_int(good, 2, 0), "counts 0 tokens");
  refuses(with_int(good, 2, -1), "counts -1 tokens");
  refuses(with_int(good, 2, 4), "truncated");
  refuses(with_int(good, 2, 2), "need 1028");
  refuses(good.substr(0, good.size() - 1), "truncated");
  refuses(good + "x", "need 1030");
  refuses(with_int(good, 3, -5), "-5 pieces");
  for (std::size_t size = 1024; size < good.size(); ++size) refuses(good.substr(0, size), "truncated");
}

TEST_CASE("shard: an id outside the vocabulary stops the read with file and position") {
  const test::TempDir dir;
  put_shard(dir / "x_train_000000.bin", {1, 9, 10, 2});
  const ShardSet set = open_shards(dir.path(), kTrain, 10);
  std::int64_t ids[4];
  set.read(0, 0, 2, 10, ids);
  CHECK(ids[1] == 9);
  CHECK_ERROR(set.read(0, 0, 4, 10, ids), ErrorKind::bad_input, "x_train_000000.bin", "token 2", "id 10",
              "has 10 entries");
}

TEST_CASE("shard: a set is sorted by name, takes what matches, and refuses other tokenizers") {
  const test::TempDir dir;
  CHECK_ERROR(open_shards(dir / "absent", kTrain, 0), ErrorKind::bad_input, "absent", "a48 prepare");
  CHECK_ERROR(open_shards(dir.path(), kTrain, 0), ErrorKind::bad_input, kTrain);
  put_shard(dir / "b_train_000000.bin", {1});
  put_shard(dir / "a_train_000001.bin", {1, 2});
  put_shard(dir / "a_train_000000.bin", {1, 2, 3});
  put_shard(dir / "a_val_000000.bin", {1, 2, 3, 4});
  const ShardSet set = open_shards(dir.path(), kTrain, 0);
  REQUIRE(set.shards.size() == 3);
  CHECK(set.shards[0]->path().filename() == "a_train_000000.bin");
  CHECK(set.shards[2]->path().filename() == "b_train_000000.bin");
  CHECK(set.tokens == 6);
  CHECK(set.vocab_size == 0);
  std::string lines;
  for (const auto& shard : set.shards)
    lines += shard->path().filename().string() + " " + std::to_string(shard->bytes()) + " " +
             sha256_file(shard->path()) + "\n";
  CHECK(set.fingerprint == sha256_hex(lines));

  put_shard(dir / "a_train_000000.bin", {1}, {2, 0, 300, sha256_hex("one")});
  CHECK(open_shards(dir.path(), kTrain, 300).vocab_size == 300);
  CHECK_ERROR(open_shards(dir.path(), kTrain, 299), ErrorKind::bad_input, "a_train_000000.bin", "300 pieces",
              "of 299");
  put_shard(dir / "b_train_000000.bin", {1}, {2, 0, 300, sha256_hex("two")});
  CHECK_ERROR(open_shards(dir.path(), kTrain, 300), ErrorKind::bad_input, "b_train_000000.bin",
              "another tokenizer");
}

TEST_CASE("shard: positions beyond 4 GiB are read where they stand") {
  const test::TempDir dir;
  const Path path = dir / "big_train_000000.bin";
  constexpr std::int64_t kTokens =
      1'310'720'000;  // of 4 bytes: 5 GB, all but the header and one token a hole
  const std::string header = shard_header({4, kTokens, 0, ""});
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT, 0666);
  REQUIRE(file >= 0);
  REQUIRE(::pwrite(file, header.data(), header.size(), 0) == 1024);
  const std::uint32_t id = 77;
  if (::pwrite(file, &id, sizeof(id), 1024 + 4 * (kTokens - 1)) != 4) {
    ::close(file);
    A48_SKIP("the file system of the temporary folder holds no sparse file of 5 GB");
  }
  ::close(file);
  const Shard shard(path);
  CHECK(shard.tokens() == kTokens);
  CHECK(shard.token(kTokens - 1) == 77);
  CHECK(shard.token(kTokens - 2) == 0);
  ShardSet set;
  set.shards.push_back(std::make_unique<Shard>(path));
  std::int64_t ids[2];
  set.read(0, kTokens - 2, 2, 78, ids);
  CHECK(ids[1] == 77);
  CHECK_ERROR(set.read(0, kTokens - 2, 2, 77, ids), ErrorKind::bad_input, std::to_string(kTokens - 1));
}

}  // namespace
}  // namespace a48::data
