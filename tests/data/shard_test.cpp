#include "data/shard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "data/tokenizer.h"
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

TEST_CASE("shard: without a sidecar the headers decide which tokenizer is the set's") {
  const test::TempDir dir;
  const std::string model = train_sentencepiece({read_file("data/samples/harbour.txt")}, 350).model;
  put(dir / "tokenizer.model", model);
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 350, sha256_hex(model)});
  const ShardSet named = open_shards(dir.path(), kTrain, 350, 1);
  CHECK(named.tokenizer_kind == "sentencepiece");
  CHECK(named.tokenizer_file == dir / "tokenizer.model");
  CHECK(named.tokenizer_sha256 == sha256_hex(model));
  CHECK(named.vocab_size == 350);
  CHECK_ERROR(open_shards(dir.path(), kTrain, 350, 2), ErrorKind::bad_input, "id 1",
              "model.bos_token_id is 2");

  const std::string other = sha256_hex("other");
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 350, other});
  CHECK_ERROR(open_shards(dir.path(), kTrain, 350), ErrorKind::bad_input, "tokenizer.model",
              sha256_hex(model), other);
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 259, sha256_hex("bytes")});
  CHECK_ERROR(open_shards(dir.path(), kTrain, 350), ErrorKind::bad_input, "tokenizer.model",
              sha256_hex("bytes"));
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 349, sha256_hex(model)});
  CHECK_ERROR(open_shards(dir.path(), kTrain, 350), ErrorKind::bad_input, "349 pieces", "has 350");
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 0, sha256_hex(model)});
  CHECK_ERROR(open_shards(dir.path(), kTrain, 349), ErrorKind::bad_input, "350 pieces", "of 349");

  put_shard(dir / "x_train_000000.bin", {1, 20});  // the headers name none
  CHECK(open_shards(dir.path(), kTrain, 350).tokenizer_kind.empty());
  CHECK(open_shards(dir.path(), kTrain, 350).tokenizer_file.empty());

  std::filesystem::remove(dir / "tokenizer.model");
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 350, sha256_hex(model)});
  CHECK(open_shards(dir.path(), kTrain, 350).tokenizer_kind.empty());
  put_shard(dir / "x_train_000000.bin", {1, 20}, {2, 0, 259, sha256_hex("bytes")});
  CHECK(open_shards(dir.path(), kTrain, 350).tokenizer_kind == "bytes");
}

TEST_CASE("shard: two splits of different tokenizers are refused, as far as they name them") {
  const test::TempDir dir;
  const auto set_of = [&](const std::string& name, const ShardHeader& header) {
    put_shard(dir / (name + "_train_000000.bin"), {1, 2}, header);
    return open_shards(dir.path(), name + "_train_*.bin", 0);
  };
  const std::string one = sha256_hex("one"), two = sha256_hex("two");
  const ShardSet a = set_of("a", {2, 0, 300, one}), b = set_of("b", {2, 0, 300, two}),
                 small = set_of("small", {2, 0, 200, ""}), same = set_of("same", {2, 0, 300, one}),
                 unknown = set_of("unknown", {2, 0, 0, ""});
  check_same_tokenizer(a, same);
  check_same_tokenizer(a, unknown);
  CHECK_ERROR(check_same_tokenizer(a, b), ErrorKind::bad_input, "a_train_000000.bin", one,
              "b_train_000000.bin", two, "--tokenizer");
  CHECK_ERROR(check_same_tokenizer(a, small), ErrorKind::bad_input, "300", "200");
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
