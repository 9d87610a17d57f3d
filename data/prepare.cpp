// From text files to a folder that training reads: documents (corpus.cpp), tokenizer, shards of two splits,
// sidecar. Every file is complete before its name exists, and the sidecar comes last (formats.md
// 5, 6.1, 6.2). Reading back: shard.cpp.
#include "data/prepare.h"

#include <fnmatch.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "core/base/check.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/parallel.h"
#include "data/corpus.h"
#include "data/shard.h"
#include "data/tokenizer.h"

namespace a48::data {
namespace {

constexpr std::int64_t kDefaultVocab = 4096;
constexpr std::int64_t kFewDocuments = 50;    // below, every document gives its tail to val
constexpr std::size_t kBatchBytes = 1 << 20;  // of documents that are encoded together

// ---- request

void check_request(const PrepareRequest& request) {
  A48_CHECK(!request.texts.empty(), ErrorKind::config, "no text file was named");
  A48_CHECK(!request.out.empty(), ErrorKind::config, "no output folder was named; --out DIR names it");
  A48_CHECK(request.tokenizer.empty() || request.vocab_size == 0, ErrorKind::config,
            "--tokenizer uses a tokenizer as it is, --vocab-size trains one; give only one of them");
  A48_CHECK(request.split.empty() || request.field.empty(), ErrorKind::config,
            "--split is for text, --field for JSONL; give only one of them");
  A48_CHECK(request.val_fraction >= 0 && request.val_fraction <= kMaxValFraction, ErrorKind::config,
            "--val-fraction is ", request.val_fraction, "; allowed are 0 to ", kMaxValFraction);
  A48_CHECK(request.shard_tokens >= 1 && request.shard_tokens <= kMaxShardTokens, ErrorKind::config,
            "a shard of ", request.shard_tokens, " tokens; allowed are 1 to ", kMaxShardTokens);
  const auto known = {"bos", "eos", "both", "none"};
  A48_CHECK(std::find(known.begin(), known.end(), request.delimiter) != known.end(), ErrorKind::config,
            "the delimiter is \"", request.delimiter, "\"; allowed are bos, eos, both, none");
}

/// The shard prefix: as requested, else the folder's name.
std::string name_of(const PrepareRequest& request) {
  std::string name = request.name;
  if (name.empty())
    name = std::filesystem::weakly_canonical(std::filesystem::absolute(request.out)).filename().string();
  if (name.empty())
    name = std::filesystem::weakly_canonical(std::filesystem::absolute(request.out))
               .parent_path()
               .filename()
               .string();
  A48_CHECK(!name.empty() && name.find('/') == std::string::npos, ErrorKind::config, "\"", name,
            "\" cannot be a prefix of file names; --name sets another");
  return name;
}

// ---- what is there already

/// Digest of everything that decides the bytes of the result, but for the program's version.
std::string digest_of(const PrepareRequest& request, const Corpus& corpus) {
  Json facts = Json::array();
  for (const Corpus::Source& source : corpus.sources())
    facts.push_back(Json::Array{source.name, source.sha256});
  std::string tokenizer = request.tokenizer;
  if (!tokenizer.empty() && tokenizer != "bytes") tokenizer = sha256_file(tokenizer);
  for (const std::string& text :
       {tokenizer, request.split, request.field, request.delimiter, request.licence})
    facts.push_back(text);
  facts.push_back(request.vocab_size);
  facts.push_back(request.val_fraction);
  facts.push_back(request.shard_tokens);
  return sha256_hex(facts.dump());
}

std::vector<Path> shards_in(const Path& folder) {
  std::vector<Path> found;
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    const std::string name = item.path().filename().string();
    if (fnmatch("*_train_*.bin", name.c_str(), 0) == 0 || fnmatch("*_val_*.bin", name.c_str(), 0) == 0)
      found.push_back(item.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// The sidecar of an earlier run of the same request whose files are all intact.
std::optional<Json> already_prepared(const Path& out, const std::string& name, const std::string& digest) {
  const Path path = out / (name + ".json");
  if (!std::filesystem::exists(path)) return {};
  const Json sidecar = Json::parse(read_file(path), path.string());
  const Json* request = sidecar.find("request_sha256");
  if (request == nullptr || !(*request == Json(digest))) return {};
  try {
    std::set<std::string> splits;
    for (const Json& shard : sidecar.at("shards").as_array()) splits.insert(shard.at("split").as_string());
    for (const std::string& split : splits) open_shards(out, "*_" + split + "_*.bin", 0);
  } catch (const Error& error) {
    fail(error.kind(), error.what(), ". --force prepares it again");
  }
  return sidecar;
}

bool belongs_to(const Path& shard, const std::string& name) {
  const std::string file = shard.filename().string();
  return file.starts_with(name + "_train_") || file.starts_with(name + "_val_");
}

void refuse_to_overwrite(const Path& out, const std::string& name, bool force) {
  for (const Path& shard : shards_in(out)) {
    A48_CHECK(belongs_to(shard, name), ErrorKind::bad_input, shard.string(),
              ": belongs to other data; one folder holds one corpus. Choose another folder with --out");
    A48_CHECK(force, ErrorKind::bad_input, shard.string(),
              ": exists already, made from other text or settings; --force replaces it");
  }
  const Path sidecar = out / (name + ".json");
  A48_CHECK(force || !std::filesystem::exists(sidecar), ErrorKind::bad_input, sidecar.string(),
            ": exists already; --force replaces it");
}

void refuse_other_tokenizer(const Path& path, const std::string& model) {
  A48_CHECK(!std::filesystem::exists(path) || read_file(path) == model, ErrorKind::bad_input, path.string(),
            ": another tokenizer is there already; --force replaces it, --tokenizer ", path.string(),
            " uses it");
}

// ---- tokenizer

struct Vocabulary {
  std::unique_ptr<runtime::Tokenizer> tokenizer;
  std::string model;  // bytes of tokenizer.model; empty for the byte tokenizer
};

Vocabulary make_vocabulary(const PrepareRequest& request, const Corpus& corpus) {
  if (request.tokenizer == "bytes") return {byte_tokenizer(), ""};
  if (!request.tokenizer.empty()) {
    std::string model = read_file(request.tokenizer);
    return {sentencepiece_of(model, request.tokenizer), model};
  }
  const std::int64_t size = request.vocab_size > 0 ? request.vocab_size : kDefaultVocab;
  log::info(concat("training a tokenizer of ", size, " pieces on ", corpus.bytes(), " bytes"));
  CorpusDocuments documents(corpus);
  std::optional<Document> document;
  const auto next_text = [&]() -> std::optional<std::string_view> {
    document = documents.next();
    if (!document) return {};
    return document->text;
  };
  const TrainedTokenizer trained = train_sentencepiece_from(next_text, size);
  if (trained.skipped_lines > 0)
    log::warning(concat(
        trained.skipped_lines, " of ", trained.lines,
        " lines had no part in the tokenizer's training: longer than 65536 bytes, or they hold the reserved "
        "character U+2585. Their text is in the shards all the same"));
  return {sentencepiece_of(trained.model, "the tokenizer just trained"), trained.model};
}

// ---- shards

/// Writes one split as shards of a fixed number of tokens. Nothing has a valid name before commit().
class SplitWriter {
 public:
  SplitWriter(const PrepareRequest& request, std::string prefix, std::string split,
              const runtime::Tokenizer& tokenizer)
      : out_(request.out),
        prefix_(std::move(prefix)),
        split_(std::move(split)),
        shard_tokens_(request.shard_tokens) {
    header_.width = tokenizer.vocab_size() <= kMaxVocabU16 ? 2 : 4;
    header_.tokenizer_size = tokenizer.vocab_size();
    header_.tokenizer_sha256 = tokenizer.sha256();
  }

  void add(const std::vector<std::int32_t>& ids) {
    bool starts = true;
    for (std::size_t begin = 0; begin < ids.size();) {
      if (shards_.empty() || shards_.back().tokens == shard_tokens_) open_shard();
      Shard& shard = shards_.back();
      shard.documents += starts;
      starts = false;
      const auto room = static_cast<std::size_t>(shard_tokens_ - shard.tokens);
      const std::size_t end = std::min(ids.size(), begin + room);
      write(shard, ids.data() + begin, end - begin);
      begin = end;
    }
  }

  std::int64_t tokens() const {
    std::int64_t total = 0;
    for (const Shard& shard : shards_) total += shard.tokens;
    return total;
  }

  /// Completes headers and contents, still without a valid name; returns the sidecar entries.
  Json finish() {
    Json entries = Json::array();
    for (Shard& shard : shards_) {
      header_.tokens = shard.tokens;
      const std::string header = shard_header(header_);
      shard.writer->write_at(0, header.data(), header.size());
      shard.writer->finish();
      Json entry = Json::object();
      entry["file"] = shard.file;
      entry["split"] = split_;
      entry["tokens"] = shard.tokens;
      entry["documents"] = shard.documents;
      entry["max_id"] = static_cast<std::int64_t>(shard.max_id);
      entry["bytes"] = shard.writer->size();
      entry["sha256"] = sha256_file(shard.writer->temporary());
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  std::vector<FileWriter*> files() const {
    std::vector<FileWriter*> all;
    for (const Shard& shard : shards_) all.push_back(shard.writer.get());
    return all;
  }

 private:
  struct Shard {
    std::string file;
    std::unique_ptr<FileWriter> writer;
    std::int64_t tokens = 0, documents = 0;
    std::int32_t max_id = 0;
  };

  void open_shard() {
    std::string number = std::to_string(shards_.size());
    number.insert(0, 6 - std::min<std::size_t>(6, number.size()), '0');
    Shard shard;
    shard.file = prefix_ + "_" + split_ + "_" + number + ".bin";
    shard.writer = std::make_unique<FileWriter>(out_ / shard.file);
    shard.writer->write(std::string(static_cast<std::size_t>(kShardHeaderBytes), '\0'));
    shards_.push_back(std::move(shard));
  }

  void write(Shard& shard, const std::int32_t* ids, std::size_t count) {
    shard.tokens += static_cast<std::int64_t>(count);
    for (std::size_t i = 0; i < count; ++i) shard.max_id = std::max(shard.max_id, ids[i]);
    if (header_.width == 4) {
      shard.writer->write(ids, count * sizeof(ids[0]));
      return;
    }
    const std::vector<std::uint16_t> narrow(ids, ids + count);
    shard.writer->write(narrow.data(), count * sizeof(narrow[0]));
  }

  Path out_;
  std::string prefix_, split_;
  std::int64_t shard_tokens_;
  ShardHeader header_;
  std::vector<Shard> shards_;
};

/// A document as written: its parts for train and val, one of them empty under the hash rule.
struct Parts {
  std::string_view train, val;
};

Parts split_by_hash(std::string_view document, double fraction) {
  constexpr int kDigits = 13;  // 52 bits, exact in a double
  const std::string digits = sha256_hex(document).substr(0, kDigits);
  const double point = static_cast<double>(std::stoull(digits, nullptr, 16)) * 0x1p-52;
  return point < fraction ? Parts{{}, document} : Parts{document, {}};
}

/// The last `fraction` of the text is val, cut at the line end (else the space) nearest to that point; a text
/// with neither stays whole in train.
Parts split_tail(std::string_view document, double fraction) {
  const auto target =
      document.size() - static_cast<std::size_t>(static_cast<double>(document.size()) * fraction);
  if (target == 0 || target >= document.size()) return {document, {}};
  for (const char boundary : {'\n', ' '}) {
    const std::size_t before = document.rfind(boundary, target - 1);
    const std::size_t after = document.find(boundary, target);
    std::size_t cut = 0;  // one past the boundary; 0 = none found
    if (before != std::string_view::npos) cut = before + 1;
    if (after != std::string_view::npos && after + 1 < document.size() &&
        (cut == 0 || after + 1 - target < target - cut))
      cut = after + 1;
    if (cut == 0 || is_blank(document.substr(0, cut)) || is_blank(document.substr(cut))) continue;
    return {document.substr(0, cut), document.substr(cut)};
  }
  return {document, {}};
}

struct Splits {
  std::string rule;
  std::unique_ptr<SplitWriter> train, val;
  std::int64_t lossy_documents = 0;  // that the tokenizer does not give back as they were
};

std::vector<std::int32_t> delimited(const std::vector<std::int32_t>& ids, const std::string& delimiter,
                                    const runtime::Tokenizer& tokenizer) {
  std::vector<std::int32_t> all;
  all.reserve(ids.size() + 2);
  if (delimiter == "bos" || delimiter == "both") all.push_back(tokenizer.bos_id());
  all.insert(all.end(), ids.begin(), ids.end());
  if (delimiter == "eos" || delimiter == "both") all.push_back(tokenizer.eos_id());
  return all;
}

std::vector<std::vector<std::int32_t>> encode_all(const std::vector<std::string_view>& texts,
                                                  const runtime::Tokenizer& tokenizer) {
  std::vector<std::vector<std::int32_t>> ids(texts.size());
  if (texts.size() == 1) {  // a long text spreads over the threads by itself
    ids[0] = tokenizer.encode(texts[0]);
    return ids;
  }
  parallel_for(static_cast<std::int64_t>(texts.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      ids[static_cast<std::size_t>(i)] = tokenizer.encode(texts[static_cast<std::size_t>(i)]);
  });
  return ids;
}

Splits write_splits(const PrepareRequest& request, const Corpus& corpus, const runtime::Tokenizer& tokenizer,
                    const std::string& name, const std::string& rule) {
  Splits splits{rule, std::make_unique<SplitWriter>(request, name, "train", tokenizer),
                std::make_unique<SplitWriter>(request, name, "val", tokenizer), 0};
  std::vector<Document> held;  // what the texts lie in
  std::vector<std::string_view> texts;
  std::vector<SplitWriter*> targets;
  std::size_t waiting = 0, done = 0;
  const auto total = std::max(std::size_t{1}, static_cast<std::size_t>(corpus.bytes()));
  const auto flush = [&] {
    const auto encoded = encode_all(texts, tokenizer);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      splits.lossy_documents += tokenizer.decode(encoded[i]) != texts[i];
      targets[i]->add(delimited(encoded[i], request.delimiter, tokenizer));
    }
    done += waiting;
    log::progress(concat("tokenizing ", 100 * done / total, " % of ", total, " bytes"));
    texts.clear();
    targets.clear();
    waiting = 0;
  };
  CorpusDocuments documents(corpus);
  while (std::optional<Document> document = documents.next()) {
    const Parts parts = rule == "hash" ? split_by_hash(document->text, request.val_fraction)
                                       : split_tail(document->text, request.val_fraction);
    if (texts.empty()) held.clear();
    held.push_back(std::move(*document));
    for (const auto& [text, target] :
         {std::pair{parts.train, splits.train.get()}, {parts.val, splits.val.get()}}) {
      if (text.empty()) continue;
      texts.push_back(text);
      targets.push_back(target);
      waiting += text.size();
      if (waiting >= kBatchBytes) flush();
    }
  }
  if (!texts.empty()) flush();
  return splits;
}

/// The rule of formats.md 6.1: by hash, unless there are few documents or the hash gives val too little.
Splits choose_splits(const PrepareRequest& request, const Corpus& corpus, const runtime::Tokenizer& tokenizer,
                     const std::string& name) {
  if (corpus.documents() >= kFewDocuments) {
    Splits splits = write_splits(request, corpus, tokenizer, name, "hash");
    const auto val = static_cast<double>(splits.val->tokens());
    const auto all = val + static_cast<double>(splits.train->tokens());
    if (val >= 0.5 * request.val_fraction * all && splits.train->tokens() > 0) return splits;
    log::info("few of the tokens fell to validation by hash; the tail of every document is taken instead");
  }
  return write_splits(request, corpus, tokenizer, name, "tail");
}

// ---- sidecar

Json sources_json(const Corpus& corpus, const std::string& licence) {
  Json list = Json::array();
  for (const Corpus::Source& source : corpus.sources()) {
    Json entry = Json::object();
    entry["name"] = source.name;
    entry["licence"] = licence;
    entry["bytes"] = static_cast<std::int64_t>(source.file.bytes().size());
    entry["documents"] = source.documents;
    entry["sha256"] = source.sha256;
    list.push_back(std::move(entry));
  }
  return list;
}

Json sidecar_of(const PrepareRequest& request, const Corpus& corpus, const runtime::Tokenizer& tokenizer,
                const std::string& rule, Json shards, const std::string& digest) {
  Json sidecar = Json::object();
  sidecar["format"] = kSidecarFormat;
  sidecar["dtype"] = tokenizer.vocab_size() <= kMaxVocabU16 ? "u16" : "u32";
  sidecar["vocab_size"] = tokenizer.vocab_size();
  sidecar["bos_id"] = static_cast<std::int64_t>(tokenizer.bos_id());
  sidecar["eos_id"] = static_cast<std::int64_t>(tokenizer.eos_id());
  sidecar["delimiter"] = request.delimiter;
  Json& vocabulary = sidecar["tokenizer"] = Json::object();
  vocabulary["file"] = tokenizer.kind() == "bytes" ? Json() : Json(kTokenizerFile);
  vocabulary["kind"] = tokenizer.kind();
  vocabulary["sha256"] = tokenizer.sha256();
  sidecar["shards"] = std::move(shards);
  sidecar["sources"] = sources_json(corpus, request.licence);
  Json& val = sidecar["val"] = Json::object();
  val["rule"] = rule;
  val["fraction"] = request.val_fraction;
  sidecar["request_sha256"] = digest;
  sidecar["tool"] = request.tool;
  return sidecar;
}

// ---- names

/// Whether a file name is one that prepare gives for this shard prefix.
bool is_output(std::string_view file, const std::string& name) {
  const bool shard = file.starts_with(name + "_train_") || file.starts_with(name + "_val_");
  return (shard && file.ends_with(".bin")) || file == name + ".json" || file == kTokenizerFile;
}

/// With --force: what is there and gets no new file in its place, left-overs of a killed run included.
std::vector<Path> obsolete_files(const Path& out, const std::string& name,
                                 const std::vector<FileWriter*>& files) {
  std::vector<Path> obsolete;
  for (const auto& item : std::filesystem::directory_iterator(out)) {
    const std::string file = item.path().filename().string();
    const bool replaced = std::any_of(files.begin(), files.end(), [&](const FileWriter* writer) {
      return writer->path().filename() == file;
    });
    const bool set_aside = is_output(file.substr(0, file.rfind(kAsideMark)), name);
    if (!replaced && (is_output(file, name) || set_aside)) obsolete.push_back(item.path());
  }
  return obsolete;
}

/// Gives all files their names at once, and returns the sidecar. It is named last: the one before it does not
/// describe the new shards, so a mixture that a kill leaves is refused.
Json commit(const PrepareRequest& request, const Corpus& corpus, const Vocabulary& vocabulary,
            const Splits& splits, const std::string& name, const std::string& digest) {
  const Path out = request.out;
  Json shards = splits.train->finish();
  const Json val_shards = splits.val->finish();
  for (const Json& entry : val_shards.as_array()) shards.push_back(entry);
  std::vector<FileWriter*> files = splits.train->files();
  const std::vector<FileWriter*> val_files = splits.val->files();
  files.insert(files.end(), val_files.begin(), val_files.end());
  std::optional<FileWriter> model_file;
  if (!vocabulary.model.empty()) {
    model_file.emplace(out / kTokenizerFile).write(vocabulary.model);
    files.push_back(&*model_file);
  }
  const Json sidecar =
      sidecar_of(request, corpus, *vocabulary.tokenizer, splits.rule, std::move(shards), digest);
  FileWriter sidecar_file(out / (name + ".json"));
  sidecar_file.write(sidecar.dump(1) + "\n");
  files.push_back(&sidecar_file);
  commit_together(files, request.force ? obsolete_files(out, name, files) : std::vector<Path>{});
  return sidecar;
}

}  // namespace

Json prepare(const PrepareRequest& request) {
  check_request(request);
  const Path out = request.out;
  const std::string name = name_of(request);
  const Corpus corpus(request.texts, {request.split, request.field});
  const std::string digest = digest_of(request, corpus);
  if (const std::optional<Json> sidecar =
          request.force ? std::nullopt : already_prepared(out, name, digest)) {
    log::info(out.string() + ": already prepared from the same text and settings");
    return *sidecar;
  }
  refuse_to_overwrite(out, name, request.force);
  const Vocabulary vocabulary = make_vocabulary(request, corpus);
  if (!request.force) refuse_other_tokenizer(out / kTokenizerFile, vocabulary.model);
  make_folders(out);
  remove_stale_temporaries(out, [&](std::string_view file) { return is_output(file, name); });

  Splits splits = choose_splits(request, corpus, *vocabulary.tokenizer, name);
  A48_CHECK(splits.train->tokens() > 0, ErrorKind::bad_input, "the text gives no training tokens");
  if (splits.val->tokens() == 0 && request.val_fraction > 0)
    log::warning("the text is too short to give validation a part of it");
  if (splits.lossy_documents > 0)
    log::warning(concat(splits.lossy_documents, " of ", corpus.documents(),
                        " documents do not come back as they were from this tokenizer: it normalizes text"));

  return commit(request, corpus, vocabulary, splits, name, digest);
}

}  // namespace a48::data
