#include "data/prepare.h"

#include <set>

#include "core/base/hash.h"
#include "data/shard.h"
#include "data/tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/shard_files.h"
#include "tests/support/temp_dir.h"

namespace a48::data {
namespace {

using test::put;

constexpr const char* kSample = "data/samples/harbour.txt";

PrepareRequest request_for(const Path& out, std::vector<std::string> texts) {
  PrepareRequest request;
  request.texts = std::move(texts);
  request.out = out.string();
  request.name = "set";
  request.tokenizer = "bytes";
  return request;
}

/// The ids of a split, shard after shard.
std::vector<std::int64_t> ids_of(const Path& folder, const std::string& split) {
  const ShardSet set = open_shards(folder, "*_" + split + "_*.bin", 0);
  std::vector<std::int64_t> all;
  for (std::size_t i = 0; i < set.shards.size(); ++i) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(set.shards[i]->tokens()));
    set.read(i, 0, set.shards[i]->tokens(), 1 << 20, ids.data());
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

/// Documents of a split as text: what stands between BOS tokens.
std::vector<std::string> documents_of(const Path& folder, const std::string& split) {
  const auto tokenizer = find_tokenizer(folder);
  std::vector<std::string> documents;
  std::vector<std::int32_t> ids;
  const auto close = [&] {
    if (!ids.empty()) documents.push_back(tokenizer->decode(ids));
    ids.clear();
  };
  for (const std::int64_t id : ids_of(folder, split)) {
    if (id == tokenizer->bos_id())
      close();
    else
      ids.push_back(static_cast<std::int32_t>(id));
  }
  close();
  return documents;
}

std::set<std::string> files_in(const Path& folder) {
  std::set<std::string> names;
  if (!std::filesystem::exists(folder)) return names;
  for (const auto& item : std::filesystem::directory_iterator(folder))
    names.insert(item.path().filename().string());
  return names;
}

TEST_CASE("prepare: text, tokenizer, shards and sidecar belong together") {
  const test::TempDir dir;
  PrepareRequest request = request_for(dir / "kjv", {kSample});
  request.tokenizer = "";
  request.vocab_size = 400;
  request.split = "***";
  request.licence = "CC0";
  request.name = "";  // the folder's
  const Json sidecar = prepare(request);
  CHECK(files_in(dir / "kjv") ==
        std::set<std::string>{"kjv.json", "kjv_train_000000.bin", "kjv_val_000000.bin", "tokenizer.model"});
  CHECK(Json::parse(read_file(dir / "kjv" / "kjv.json"), "sidecar") == sidecar);
  CHECK(sidecar.at("format").as_string() == "a48-shards/1");
  CHECK(sidecar.at("dtype").as_string() == "u16");
  CHECK(sidecar.at("vocab_size").as_int() == 400);
  CHECK(sidecar.at("delimiter").as_string() == "bos");
  CHECK(sidecar.at("tokenizer").at("file").as_string() == "tokenizer.model");
  CHECK(sidecar.at("tokenizer").at("sha256").as_string() == sha256_file(dir / "kjv" / "tokenizer.model"));
  CHECK(sidecar.at("val").at("rule").as_string() == "tail");
  const Json& source = sidecar.at("sources").as_array()[0];
  CHECK(source.at("name").as_string() == "harbour.txt");
  CHECK(source.at("licence").as_string() == "CC0");
  CHECK(source.at("documents").as_int() == 5);
  CHECK(source.at("sha256").as_string() == sha256_file(kSample));
  const Json& train = sidecar.at("shards").as_array()[0];
  CHECK(train.at("split").as_string() == "train");
  CHECK(train.at("documents").as_int() == 5);

  const ShardSet set = open_shards(dir / "kjv", "*_train_*.bin", 400);
  CHECK(set.tokens == train.at("tokens").as_int());
  CHECK(set.vocab_size == 400);
  CHECK(set.tokenizer_kind == "sentencepiece");
  CHECK(set.shards[0]->header().tokenizer_sha256 == set.tokenizer_sha256);
  CHECK(set.tokenizer_file == dir / "kjv" / "tokenizer.model");
  std::int64_t max_id = 0;
  for (const std::int64_t id : ids_of(dir / "kjv", "train")) max_id = std::max(max_id, id);
  CHECK(train.at("max_id").as_int() == max_id);
  CHECK(open_shards(dir / "kjv", "*_val_*.bin", 400).fingerprint == set.fingerprint);

  // Train and val parts of each document, joined, are the document.
  const std::vector<std::string> head = documents_of(dir / "kjv", "train"),
                                 tail = documents_of(dir / "kjv", "val");
  REQUIRE(head.size() == 5);
  REQUIRE(tail.size() == 5);
  std::string joined;
  for (std::size_t i = 0; i < 5; ++i) joined += (i > 0 ? "***\n" : "") + head[i] + tail[i];
  CHECK(joined == read_file(kSample));
}

TEST_CASE("prepare: the same request gives the same bytes, and is not carried out twice") {
  const test::TempDir dir;
  for (const char* name : {"a", "b"}) {
    PrepareRequest request = request_for(dir / name, {kSample});
    request.tokenizer = "";
    request.vocab_size = 350;
    prepare(request);
  }
  for (const std::string& file : files_in(dir / "a"))
    CHECK(read_file(dir / "a" / file) == read_file(dir / "b" / file));

  PrepareRequest request = request_for(dir / "a", {kSample});
  request.tokenizer = "";
  request.vocab_size = 350;
  const auto before = std::filesystem::last_write_time(dir / "a" / "set.json");
  CHECK(prepare(request).at("vocab_size").as_int() == 350);
  CHECK(std::filesystem::last_write_time(dir / "a" / "set.json") == before);
}

TEST_CASE("prepare: existing output is kept unless --force replaces it") {
  const test::TempDir dir;
  prepare(request_for(dir / "o", {kSample}));
  const std::string before = read_file(dir / "o" / "set_train_000000.bin");
  put(dir / "other.txt", "Other text\nof two lines\n");
  PrepareRequest request = request_for(dir / "o", {(dir / "other.txt").string()});
  CHECK_ERROR(prepare(request), ErrorKind::bad_input, "set_train_000000.bin", "--force");
  CHECK(read_file(dir / "o" / "set_train_000000.bin") == before);
  request.name = "second";
  CHECK_ERROR(prepare(request), ErrorKind::bad_input, "one folder holds one corpus");
  request.name = "set";
  request.force = true;
  prepare(request);
  CHECK(read_file(dir / "o" / "set_train_000000.bin") != before);
  CHECK(documents_of(dir / "o", "train").front().starts_with("Other"));

  std::filesystem::create_directory(dir / "t");
  put(dir / "t" / "tokenizer.model", "mine");
  PrepareRequest beside = request_for(dir / "t", {kSample});
  CHECK_ERROR(prepare(beside), ErrorKind::bad_input, "tokenizer.model", "--force");
  CHECK(files_in(dir / "t") == std::set<std::string>{"tokenizer.model"});
}

TEST_CASE("prepare: an altered shard is found when the request comes again") {
  const test::TempDir dir;
  prepare(request_for(dir / "o", {kSample}));
  std::string bytes = read_file(dir / "o" / "set_val_000000.bin");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  put(dir / "o" / "set_val_000000.bin", bytes);
  CHECK_ERROR(prepare(request_for(dir / "o", {kSample})), ErrorKind::bad_input, "set_val_000000.bin",
              "altered", "--force");
  CHECK_ERROR(open_shards(dir / "o", "*_val_*.bin", 0), ErrorKind::bad_input, "set_val_000000.bin",
              "altered");
}

TEST_CASE("prepare: readers refuse files that disagree with the sidecar") {
  const test::TempDir dir;
  PrepareRequest request = request_for(dir / "o", {kSample});
  request.tokenizer = "";
  request.vocab_size = 350;
  prepare(request);
  const Path folder = dir / "o";
  const auto reopen = [&] { return open_shards(folder, "*_train_*.bin", 350); };
  CHECK(reopen().tokens > 0);
  CHECK_ERROR(open_shards(folder, "*_train_*.bin", 349), ErrorKind::bad_input, "350 pieces", "of 349");
  CHECK(open_shards(folder, "*_train_*.bin", 350, 1).bos_id == 1);
  CHECK_ERROR(open_shards(folder, "*_train_*.bin", 350, 2), ErrorKind::bad_input, "set.json", "id 1",
              "model.bos_token_id is 2");

  const std::string model = read_file(folder / "tokenizer.model");
  put(folder / "tokenizer.model", model + "x");
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "tokenizer.model", "SHA-256");
  put(folder / "tokenizer.model", model);

  std::filesystem::copy_file(folder / "set_train_000000.bin", folder / "set_train_000001.bin");
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "set_train_000001.bin", "not listed");
  std::filesystem::remove(folder / "set_train_000001.bin");

  std::filesystem::rename(folder / "set_val_000000.bin", dir / "aside.bin");
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "set_val_000000.bin", "missing");
  std::filesystem::rename(dir / "aside.bin", folder / "set_val_000000.bin");

  const std::string sidecar = read_file(folder / "set.json");
  put(folder / "set.json", sidecar.substr(0, sidecar.size() / 2));
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "set.json");
  put(folder / "set.json", "{\"format\": \"a48-shards/1\"}");
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "set.json", "tokenizer");
  put(folder / "set.json", "{\"format\": \"a48-shards/2\"}");
  CHECK_ERROR(reopen(), ErrorKind::bad_input, "a48-shards/2");
}

TEST_CASE("prepare: sidecars of train and val that name different tokenizers are refused") {
  const test::TempDir dir;
  const Path both = dir / "both";
  std::filesystem::create_directory(both);
  const auto add = [&](const std::string& name, std::int64_t vocab_size) {
    PrepareRequest request = request_for(dir / name, {kSample});
    request.name = name;
    request.vocab_size = vocab_size;
    if (vocab_size > 0) request.tokenizer = "";
    request.force = true;
    prepare(request);
    for (const std::string& file : files_in(dir / name))
      std::filesystem::copy_file(dir / name / file, both / file,
                                 std::filesystem::copy_options::overwrite_existing);
  };
  add("one", 0);
  add("two", 0);
  CHECK(open_shards(both, "*.bin", 259).shards.size() == 4);
  check_same_tokenizer(open_shards(both, "one_train_*.bin", 259), open_shards(both, "two_val_*.bin", 259));

  add("two", 350);
  const ShardSet train = open_shards(both, "one_train_*.bin", 350),
                 val = open_shards(both, "two_val_*.bin", 350);
  CHECK_ERROR(check_same_tokenizer(train, val), ErrorKind::bad_input, "two_val_000000.bin",
              "another tokenizer", train.tokenizer_sha256, val.tokenizer_sha256, "--tokenizer");
  CHECK_ERROR(open_shards(both, "*_train_*.bin", 350), ErrorKind::bad_input, "two.json", "another sidecar",
              train.tokenizer_sha256, val.tokenizer_sha256);
}

TEST_CASE("prepare: many documents go to train or val by their hash, each whole and each once") {
  const test::TempDir dir;
  std::string text;
  std::set<std::string> all;
  for (int i = 0; i < 400; ++i) {
    const std::string document = "Document number " + std::to_string(i) + "\n";
    all.insert(document);
    text += document + "---\r\n";
  }
  put(dir / "many.txt", text);
  PrepareRequest request = request_for(dir / "o", {(dir / "many.txt").string()});
  request.split = "---";
  request.val_fraction = 0.1;
  const Json sidecar = prepare(request);
  CHECK(sidecar.at("val").at("rule").as_string() == "hash");
  const std::vector<std::string> train = documents_of(dir / "o", "train"),
                                 val = documents_of(dir / "o", "val");
  CHECK(train.size() + val.size() == 400);
  CHECK((val.size() > 20 && val.size() < 70));  // 40 expected, σ = 6
  std::set<std::string> seen(train.begin(), train.end());
  seen.insert(val.begin(), val.end());
  CHECK(seen == all);
}

TEST_CASE("prepare: when the hash gives val too little, the tails of the documents do") {
  const test::TempDir dir;
  std::string text = std::string(20'000, 'x') + " end of the long one\n";
  for (int i = 0; i < 60; ++i) text += "---\nshort document\nnumber " + std::to_string(i) + "\n";
  put(dir / "one_long.txt", text);
  PrepareRequest request = request_for(dir / "o", {(dir / "one_long.txt").string()});
  request.split = "---";
  const Json sidecar = prepare(request);
  CHECK(sidecar.at("val").at("rule").as_string() == "tail");
}

TEST_CASE("prepare: JSONL takes one member of each line") {
  const test::TempDir dir;
  PrepareRequest request = request_for(dir / "o", {"data/samples/harbour.jsonl"});
  request.field = "text";
  request.val_fraction = 0;
  const Json sidecar = prepare(request);
  const std::vector<std::string> documents = documents_of(dir / "o", "train");
  REQUIRE(documents.size() == 3);
  CHECK(documents[1] == "A knife, a needle, a ball of twine.\nA second ball of twine.");
  CHECK(sidecar.at("shards").size() == 1);

  request.out = (dir / "p").string();
  request.field = "body";
  CHECK_ERROR(prepare(request), ErrorKind::bad_input, "harbour.jsonl:1: ", "\"body\"");
  put(dir / "broken.jsonl", "{\"text\": \"fine\"}\n{\"text\": \n");
  request.texts = {(dir / "broken.jsonl").string()};
  request.field = "text";
  CHECK_ERROR(prepare(request), ErrorKind::bad_input, "broken.jsonl:2:10: not JSON");
}

TEST_CASE("prepare: JSONL and the same documents as separated text give equal shards") {
  const test::TempDir dir;
  for (const int count : {20, 400}) {  // the tail rule, the hash rule
    std::string text, records;
    for (int i = 0; i < count; ++i) {
      const std::string number = std::to_string(i);
      text += "First line of " + number + ", a caf\u00e9\nsecond, \"quoted\"\n***\n";
      records += "{\"id\": " + number + ", \"text\": \"First line of " + number +
                 ", a caf\\u00e9\\nsecond, \\\"quoted\\\"\\n\"}\n" + (i % 3 == 0 ? " \r\n" : "");
      if (i % 7 == 0) records += "{\"text\": \" \\n\"}\n";  // blank: no document
    }
    put(dir / "set.txt", text);
    put(dir / "set.jsonl", records);
    for (const std::int64_t vocabulary : {0, 300}) {
      INFO(count << " documents, vocabulary " << vocabulary);
      const std::string tag = std::to_string(count) + "-" + std::to_string(vocabulary);
      PrepareRequest as_text = request_for(dir / ("text" + tag), {(dir / "set.txt").string()});
      as_text.val_fraction = 0.1;
      as_text.shard_tokens = 3000;
      if (vocabulary > 0) {
        as_text.tokenizer = "";
        as_text.vocab_size = vocabulary;
      }
      PrepareRequest as_records = as_text;
      as_text.split = "***";
      as_records.texts = {(dir / "set.jsonl").string()};
      as_records.field = "text";
      as_records.out = (dir / ("jsonl" + tag)).string();
      const Json sidecar = prepare(as_text);
      CHECK(prepare(as_records).at("shards") == sidecar.at("shards"));  // with their hashes
      CHECK(sidecar.at("val").at("rule").as_string() == (count == 20 ? "tail" : "hash"));
      if (vocabulary > 0)
        CHECK(read_file(Path(as_text.out) / "tokenizer.model") ==
              read_file(Path(as_records.out) / "tokenizer.model"));
    }
  }
}

TEST_CASE("prepare: the delimiter stands where it was asked for") {
  const test::TempDir dir;
  put(dir / "t.txt", "ab");
  const std::int64_t a = 3 + 'a', b = 3 + 'b';
  using Ids = std::vector<std::int64_t>;
  const std::vector<std::pair<std::string, Ids>> cases{
      {"bos", {1, a, b}}, {"eos", {a, b, 2}}, {"both", {1, a, b, 2}}, {"none", {a, b}}};
  for (const auto& [delimiter, expected] : cases) {
    PrepareRequest request = request_for(dir / delimiter, {(dir / "t.txt").string()});
    request.delimiter = delimiter;
    request.val_fraction = 0;
    prepare(request);
    CHECK(ids_of(dir / delimiter, "train") == expected);
  }
}

TEST_CASE("prepare: documents straddle shards, and nothing is lost") {
  const test::TempDir dir;
  prepare(request_for(dir / "one", {kSample}));
  PrepareRequest request = request_for(dir / "many", {kSample});
  request.shard_tokens = 1000;
  const Json sidecar = prepare(request);
  CHECK(sidecar.at("shards").size() == 6);
  CHECK(ids_of(dir / "many", "train") == ids_of(dir / "one", "train"));
  CHECK(ids_of(dir / "many", "val") == ids_of(dir / "one", "val"));
}

TEST_CASE("prepare: a tokenizer file is used as it is") {
  const test::TempDir dir;
  put(dir / "given.model", train_sentencepiece({read_file(kSample)}, 380).model);
  PrepareRequest request = request_for(dir / "o", {kSample});
  request.tokenizer = (dir / "given.model").string();
  CHECK(prepare(request).at("vocab_size").as_int() == 380);
  CHECK(read_file(dir / "o" / "tokenizer.model") == read_file(dir / "given.model"));
  request.vocab_size = 400;
  CHECK_ERROR(prepare(request), ErrorKind::config, "--tokenizer", "--vocab-size");
}

TEST_CASE("prepare: bad input is named, and leaves no output") {
  const test::TempDir dir;
  const auto refuses = [&](const std::string& content, const std::string& reason, const std::string& where) {
    put(dir / "bad.txt", content);
    CHECK_ERROR(prepare(request_for(dir / "o", {kSample, (dir / "bad.txt").string()})), ErrorKind::bad_input,
                "bad.txt", reason, where);
    CHECK(files_in(dir / "o").empty());
  };
  refuses("", "no text", "the file is empty");
  refuses(" \n\t\r\n", "no text", "white space");
  refuses(std::string("abc\0def", 7), "byte 3", "binary");
  refuses("abcd\xFFzz", "byte 4", "255");
  refuses("caf\xC3", "byte 3", "UTF-8");
  refuses("\xED\xA0\x80", "byte 0", "UTF-8");
  CHECK_ERROR(prepare(request_for(dir / "o", {(dir / "absent.txt").string()})), ErrorKind::bad_input,
              "absent.txt", "no such file");
  CHECK_ERROR(prepare(request_for(dir / "o", {dir.path().string()})), ErrorKind::bad_input,
              dir.path().string());
  CHECK_ERROR(prepare(request_for(dir / "o", {})), ErrorKind::config, "no text file");
  PrepareRequest request = request_for(dir / "o", {kSample});
  request.val_fraction = 0.6;
  CHECK_ERROR(prepare(request), ErrorKind::config, "--val-fraction", "0.6");
  request = request_for(dir / "o", {kSample});
  request.tokenizer = "";
  request.vocab_size = 265;
  CHECK_ERROR(prepare(request), ErrorKind::config, "265", "too small");
  CHECK(files_in(dir / "o").empty());
}

TEST_CASE("prepare: a fault at any write, fsync or rename leaves no valid half") {
  const test::TempDir dir;
  PrepareRequest request = request_for(dir / "o", {kSample});
  request.tokenizer = "";
  request.vocab_size = 350;
  request.shard_tokens = 1000;
  int steps = 0, failing = -1;
  const auto arm = [&] {
    steps = 0;
    set_file_fault_hook([&](std::string_view, const Path& path) {
      if (steps++ == failing)
        fail(ErrorKind::no_resources, "cannot write ", path.string(), ": No space left on device");
    });
  };
  arm();
  prepare(request);
  const int total = steps;
  REQUIRE(total > 10);
  for (failing = 0; failing < total; ++failing) {
    std::filesystem::remove_all(dir / "o");
    arm();
    INFO("step " << failing);
    CHECK_ERROR(prepare(request), ErrorKind::no_resources, "No space");
    set_file_fault_hook({});
    for (const std::string& name : files_in(dir / "o")) {
      CHECK(name.find(".tmp-") == std::string::npos);
      if (name.ends_with(".bin")) CHECK(Shard(dir / "o" / name).tokens() > 0);
      if (name.ends_with(".json")) CHECK(open_shards(dir / "o", "*_train_*.bin", 0).tokens > 0);
    }
  }
  set_file_fault_hook({});
}

TEST_CASE("prepare: with --force a fault at any step leaves the old set as it was") {
  const test::TempDir dir;
  PrepareRequest first = request_for(dir / "o", {kSample});
  first.tokenizer = "";
  first.vocab_size = 350;
  first.shard_tokens = 1000;
  put(dir / "other.txt", "Other text\nof two lines\n");
  PrepareRequest second = request_for(dir / "o", {(dir / "other.txt").string()});  // fewer shards, no model
  second.force = true;
  int steps = 0, failing = -1;
  const auto arm = [&] {
    steps = 0;
    set_file_fault_hook([&](std::string_view, const Path& path) {
      if (steps++ == failing)
        fail(ErrorKind::no_resources, "cannot write ", path.string(), ": No space left on device");
    });
  };
  prepare(first);
  arm();
  prepare(second);
  const int total = steps;
  REQUIRE(total > 10);
  CHECK(files_in(dir / "o") ==
        std::set<std::string>{"set.json", "set_train_000000.bin", "set_val_000000.bin"});
  CHECK(documents_of(dir / "o", "train").front().starts_with("Other"));
  first.force = true;
  set_file_fault_hook({});
  prepare(first);
  const std::set<std::string> files = files_in(dir / "o");
  const std::string fingerprint = open_shards(dir / "o", "*_train_*.bin", 0).fingerprint;
  for (failing = 0; failing < total; ++failing) {
    arm();
    INFO("step " << failing);
    CHECK_ERROR(prepare(second), ErrorKind::no_resources, "No space");
    set_file_fault_hook({});
    CHECK(files_in(dir / "o") == files);
    CHECK(open_shards(dir / "o", "*.bin", 0).fingerprint == fingerprint);
  }
}

TEST_CASE("prepare: left-overs of a killed run are removed, files of others stay") {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "o");
  constexpr const char* kNobody = "4194304";  // process ids end below
  for (const char* name : {"set_train_000007.bin", "set.json", "tokenizer.model", "notes"})
    put(dir / "o" / (std::string(name) + ".tmp-" + kNobody), "half");
  PrepareRequest request = request_for(dir / "o", {kSample});
  prepare(request);
  CHECK(files_in(dir / "o") == std::set<std::string>{"set.json", "set_train_000000.bin", "set_val_000000.bin",
                                                     std::string("notes.tmp-") + kNobody});
  put(dir / "o" / (std::string("set_val_000000.bin.old-") + kNobody), "from a killed --force");
  request.force = true;
  prepare(request);
  CHECK(files_in(dir / "o").size() == 4);
}

TEST_CASE("prepare: each claim of a sidecar is held against the files") {
  const test::TempDir dir;
  PrepareRequest request = request_for(dir / "s", {kSample});
  request.tokenizer = "";
  request.vocab_size = 350;
  prepare(request);
  prepare(request_for(dir / "b", {kSample}));
  const auto refuses = [&](const char* folder, const std::string& from, const std::string& to,
                           const std::string& reason) {
    const Path path = dir / folder / "set.json";
    const std::string good = read_file(path);
    const std::size_t at = good.find(from);
    INFO(from << " -> " << to);
    REQUIRE(at != std::string::npos);
    put(path, std::string(good).replace(at, from.size(), to));
    CHECK_ERROR(open_shards(dir / folder, "*_train_*.bin", 0), ErrorKind::bad_input, "set.json", reason);
    put(path, good);
  };
  for (const char* folder : {"s", "b"}) {
    CHECK(open_shards(dir / folder, "*_train_*.bin", 0).tokens > 0);
    refuses(folder, "\"dtype\": \"u16\"", "\"dtype\": \"u32\"", "\"dtype\" is u32");
    refuses(folder, "\"dtype\": \"u16\"", "\"dtype\": \"f16\"", "allowed are u16, u32");
    refuses(folder, "\"bos_id\": 1", "\"bos_id\": 7", "\"bos_id\" is 7");
    refuses(folder, "\"eos_id\": 2", "\"eos_id\": 3", "\"eos_id\" is 3");
    refuses(folder, "\"delimiter\": \"bos\"", "\"delimiter\": \"dot\"", "allowed are bos, eos, both, none");
    refuses(folder, "\"set_train_000000.bin\"", "\"../b/set_train_000000.bin\"", "lie beside it");
    refuses(folder, "\"max_id\": ", "\"max_id\": 999", "\"max_id\"");
  }
  refuses("s", "\"vocab_size\": 350", "\"vocab_size\": 349", "\"vocab_size\" is 349");
  refuses("s", "\"sentencepiece\"", "\"wordpiece\"", "allowed are sentencepiece, bytes");
  refuses("s", "\"sentencepiece\"", "\"bytes\"", "the byte tokenizer");
  refuses("b", "\"vocab_size\": 259", "\"vocab_size\": 260", "\"vocab_size\" is 260");
  refuses("b", sha256_hex("bytes"), sha256_hex("other"), "the byte tokenizer");
}

}  // namespace
}  // namespace a48::data
