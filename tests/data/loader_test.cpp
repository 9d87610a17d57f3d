#include "data/loader.h"

#include <set>

#include "data/order.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"

namespace a48::data {
namespace {

using test::put_shard;

constexpr std::int64_t kVocab = 1000, kBos = 1;

config::Data data_at(const Path& folder, std::int64_t sequence,
                     config::Windows windows = config::Windows::cut) {
  config::Data data;
  data.path = folder.string();
  data.sequence_length = sequence;
  data.windows = windows;
  return data;
}

/// n ids from `first` on.
std::vector<std::uint32_t> run_of(std::uint32_t first, int n) {
  std::vector<std::uint32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back(first + static_cast<std::uint32_t>(i));
  return ids;
}

/// First ids of `count` windows from `consumed` on.
std::vector<std::int64_t> first_ids(const Loader& loader, std::uint64_t stream, std::int64_t consumed,
                                    std::int64_t count) {
  const std::int64_t width = loader.sequence_length() + 1;
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count * width)), first;
  loader.batch(stream, consumed, count, ids.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i * width);
    first.push_back(ids[at]);
    for (std::int64_t k = 1; k < width; ++k) CHECK(ids[at + static_cast<std::size_t>(k)] == ids[at] + k);
  }
  return first;
}

TEST_CASE("loader: cut windows start every T tokens and never cross a shard") {
  const test::TempDir dir;
  put_shard(dir / "x_train_000000.bin", run_of(100, 13));  // (13 − 1) div 4 = 3 windows
  put_shard(dir / "x_train_000001.bin", run_of(200, 4));   // none: T + 1 = 5
  put_shard(dir / "x_train_000002.bin", run_of(300, 9));   // 2
  const Loader loader(data_at(dir.path(), 4), kVocab, 1, kBos);
  CHECK(loader.windows() == 5);
  const std::vector<std::int64_t> first = first_ids(loader, 0, 0, 5);
  CHECK(std::set<std::int64_t>(first.begin(), first.end()) ==
        std::set<std::int64_t>{100, 104, 108, 300, 304});
  const std::vector<std::int64_t> in_order{100, 104, 108, 300, 304};
  for (std::size_t i = 0; i < 5; ++i)
    CHECK(first[i] == in_order[static_cast<std::size_t>(window_at(1, 0, static_cast<std::int64_t>(i), 5))]);
}

TEST_CASE("loader: bos windows start at documents and drop what does not fit") {
  const test::TempDir dir;
  //                                    0  1  2  3  4  5  6  7  8  9 10 11
  put_shard(dir / "x_train_000000.bin", {9, 1, 5, 6, 1, 7, 8, 1, 9, 9, 9, 1});
  const Loader loader(data_at(dir.path(), 3, config::Windows::bos), kVocab, 1, kBos);
  CHECK(loader.windows() == 3);
  std::set<std::int64_t> begins;
  for (const Span& span : loader.spans(0, 0, 3)) {
    CHECK(span.count == 4);
    begins.insert(span.begin);
  }
  CHECK(begins == std::set<std::int64_t>{1, 4, 7});
}

TEST_CASE("loader: in shards without a sidecar documents begin with the model's BOS") {
  const test::TempDir dir;
  put_shard(dir / "x_train_000000.bin", {9, 1, 5, 6, 9, 7, 8, 1, 9, 9});
  const Loader loader(data_at(dir.path(), 3, config::Windows::bos), kVocab, 1, 9);
  std::set<std::int64_t> begins;
  for (const Span& span : loader.spans(0, 0, loader.windows())) begins.insert(span.begin);
  CHECK(begins == std::set<std::int64_t>{0, 4});
  put_shard(dir / "x_val_000000.bin", {9, 10, 1, 9, 20});
  const ShardSet val = open_shards(dir.path(), "*_val_*.bin", kVocab, 9);
  CHECK(evaluation_pieces(val, 4, kVocab, 0).ids ==
        std::vector<std::vector<std::int32_t>>{{9, 10, 1}, {9, 20}});
}

TEST_CASE("loader: three epochs take every window once each, in new orders, whatever the batch") {
  const test::TempDir dir;
  put_shard(dir / "x_train_000000.bin", run_of(0, 7 * 2 + 1));
  const Loader loader(data_at(dir.path(), 2), kVocab, 5, kBos);
  REQUIRE(loader.windows() == 7);
  const std::vector<std::int64_t> all = first_ids(loader, 0, 0, 21);
  std::set<std::vector<std::int64_t>> orders;
  for (int e = 0; e < 3; ++e) {
    const std::vector<std::int64_t> part(all.begin() + 7 * e, all.begin() + 7 * (e + 1));
    CHECK(std::set<std::int64_t>(part.begin(), part.end()).size() == 7);
    orders.insert(part);
  }
  CHECK(orders.size() == 3);
  std::vector<std::int64_t> by_four;  // batches that cross the epochs' ends
  for (std::int64_t consumed = 0; consumed < 21; consumed += 4) {
    const std::vector<std::int64_t> part =
        first_ids(loader, 0, consumed, std::min<std::int64_t>(4, 21 - consumed));
    by_four.insert(by_four.end(), part.begin(), part.end());
  }
  CHECK(by_four == all);
  CHECK(first_ids(loader, 1, 0, 7) != std::vector<std::int64_t>(all.begin(), all.begin() + 7));
}

TEST_CASE("loader: bad data is refused by name") {
  const test::TempDir dir;
  CHECK_ERROR(Loader(config::Data{}, kVocab, 1, kBos), ErrorKind::config, "data.path");
  put_shard(dir / "x_train_000000.bin", run_of(0, 4));
  CHECK_ERROR(Loader(data_at(dir.path(), 4), kVocab, 1, kBos), ErrorKind::bad_input, "4 training tokens",
              "5");
  put_shard(dir / "x_train_000000.bin", run_of(kVocab - 2, 9));
  const Loader loader(data_at(dir.path(), 4), kVocab, 1, kBos);
  std::int64_t ids[10];
  CHECK_ERROR(loader.batch(0, 0, 2, ids), ErrorKind::bad_input, "token 2", "id 1000");
}

TEST_CASE("loader: mock data needs no file, stays in the vocabulary and repeats") {
  config::Data data;
  data.kind = config::DataKind::mock;
  data.sequence_length = 50;
  const Loader loader(data, 17, 3, kBos);
  std::vector<std::int64_t> a(51 * 4), b(51 * 4);
  loader.batch(0, 10, 4, a.data());
  loader.batch(0, 10, 4, b.data());
  CHECK(a == b);
  CHECK(std::set<std::int64_t>(a.begin(), a.end()).size() == 17);
  CHECK((*std::min_element(a.begin(), a.end()) == 0 && *std::max_element(a.begin(), a.end()) == 16));
  loader.batch(0, 11, 4, b.data());
  CHECK(a != b);
  CHECK(std::equal(a.begin() + 51, a.end(), b.begin()));
}

TEST_CASE("evaluation pieces: every token but BOS is scored once, with BOS in front of each piece") {
  const test::TempDir dir;
  put_shard(dir / "x_val_000000.bin", {1, 10, 11, 12, 13, 14, 1, 20, 1, 30, 31});
  put_shard(dir / "x_val_000001.bin", {32, 33, 1, 40});  // 32 and 33 continue the document of 30
  const ShardSet val = open_shards(dir.path(), "*_val_*.bin", kVocab);
  const EvaluationPieces pieces = evaluation_pieces(val, 4, kVocab, 0);
  using Ids = std::vector<std::vector<std::int32_t>>;
  CHECK(pieces.ids == Ids{{1, 10, 11, 12}, {1, 13, 14}, {1, 20}, {1, 30, 31, 32}, {1, 33}, {1, 40}});
  CHECK(pieces.starts_document == std::vector<bool>{true, false, true, true, false, true});
  CHECK(pieces.scored_tokens() == 11);
  CHECK_ERROR(evaluation_pieces(val, 1, kVocab, 0), ErrorKind::config, "sequence_length");
  CHECK_ERROR(evaluation_pieces(val, 4, 40, 0), ErrorKind::bad_input, "x_val_000001.bin", "token 3", "id 40");
}

TEST_CASE("evaluation pieces: shards without BOS are one document each; BOS at the end is none") {
  const test::TempDir dir;
  put_shard(dir / "x_val_000000.bin", {10, 11, 12});
  const ShardSet plain = open_shards(dir.path(), "*_val_*.bin", kVocab);
  CHECK(evaluation_pieces(plain, 3, kVocab, 0).ids ==
        std::vector<std::vector<std::int32_t>>{{1, 10, 11}, {1, 12}});
  CHECK(evaluation_pieces(plain, 3, kVocab, 0).starts_document == std::vector<bool>{true, false});
  put_shard(dir / "x_val_000001.bin", {13, 14, 15});
  CHECK(evaluation_pieces(open_shards(dir.path(), "*_val_*.bin", kVocab), 3, kVocab, 0).starts_document ==
        std::vector<bool>{true, false, true, false});
  std::filesystem::remove(dir / "x_val_000001.bin");
  put_shard(dir / "x_val_000000.bin", {1, 1, 12, 1});
  const ShardSet empty_documents = open_shards(dir.path(), "*_val_*.bin", kVocab);
  CHECK(evaluation_pieces(empty_documents, 3, kVocab, 0).ids ==
        std::vector<std::vector<std::int32_t>>{{1, 12}});
}

TEST_CASE("evaluation pieces: a document over three shards is cut as if it stood in one") {
  const test::TempDir dir;
  put_shard(dir / "x_val_000000.bin", {1, 9, 1});
  put_shard(dir / "x_val_000001.bin", {10, 11});
  put_shard(dir / "x_val_000002.bin", {12, 13, 14, 15, 16, 1, 20});
  const EvaluationPieces pieces =
      evaluation_pieces(open_shards(dir.path(), "*_val_*.bin", kVocab), 4, kVocab, 0);
  CHECK(pieces.ids ==
        std::vector<std::vector<std::int32_t>>{{1, 9}, {1, 10, 11, 12}, {1, 13, 14, 15}, {1, 16}, {1, 20}});
  CHECK(pieces.starts_document == std::vector<bool>{true, true, false, false, true});
}

TEST_CASE("evaluation pieces: a limit takes that many, evenly spaced") {
  const test::TempDir dir;
  put_shard(dir / "x_val_000000.bin", run_of(10, 20));  // 10 pieces of 2
  const ShardSet val = open_shards(dir.path(), "*_val_*.bin", kVocab);
  std::vector<std::int32_t> second;
  for (const auto& ids : evaluation_pieces(val, 3, kVocab, 4).ids) second.push_back(ids[1]);
  CHECK(second == std::vector<std::int32_t>{10, 14, 20, 24});  // pieces 0, 2, 5, 7
  CHECK(evaluation_pieces(val, 3, kVocab, 10).size() == 10);
  CHECK(evaluation_pieces(val, 3, kVocab, 99).size() == 10);
}

TEST_CASE("evaluation pieces: texts become documents, and their scored bytes add up to the texts") {
  const auto tokenizer = byte_tokenizer();
  const std::vector<std::string> texts{"abc", "", "four"};
  std::vector<std::vector<std::int32_t>> documents;
  for (const std::string& text : texts) documents.push_back(tokenizer->encode(text));
  const EvaluationPieces pieces = pieces_of_documents(documents, tokenizer->bos_id(), 3);
  CHECK(pieces.size() == 4);
  CHECK(pieces.starts_document == std::vector<bool>{true, false, true, false});
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) bytes += scored_bytes(pieces, i, *tokenizer);
  CHECK(bytes == 7);
}

}  // namespace
}  // namespace a48::data
