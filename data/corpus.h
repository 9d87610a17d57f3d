// The documents of text and JSONL files, one after another (formats.md 6.1). Files are mapped, and a document
// of JSONL is decoded when its turn comes: memory holds the documents at hand, never a corpus.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/files.h"

namespace a48::data {

/// What separates the documents of a file; at most one is set. With neither, the file is one document.
struct DocumentRule {
  std::string separator;  // a whole line
  std::string field;      // JSONL: a line is a document, its text in this member
};

struct Document {
  std::string_view text;                       // never blank; lies in the mapped file or in `decoded`
  std::unique_ptr<const std::string> decoded;  // of JSONL
};

/// The documents of one file, from its start. Error(bad_input) names file and line of a bad JSONL record.
class FileDocuments {
 public:
  FileDocuments(std::string_view text, std::string path, const DocumentRule& rule)
      : text_(text), path_(std::move(path)), rule_(rule) {}
  std::optional<Document> next();
  bool met_separator() const { return met_separator_; }

 private:
  std::string_view take_line();  // without its end
  std::string_view take_piece();
  Document take_record();

  std::string_view text_;
  std::string path_;
  const DocumentRule& rule_;
  std::size_t at_ = 0;
  std::int64_t lines_ = 0;  // taken so far
  bool met_separator_ = false;
};

class Corpus {
 public:
  struct Source {
    std::string path, name;  // name: of the file, without its folder
    MappedFile file;
    std::string sha256;
    std::int64_t documents = 0;
    std::string_view text() const;
  };

  /// Reads all documents once. Error(bad_input) when a file is no text, holds none, or holds a bad record.
  Corpus(const std::vector<std::string>& paths, DocumentRule rule);

  const std::vector<Source>& sources() const { return sources_; }
  const DocumentRule& rule() const { return rule_; }
  std::int64_t documents() const { return documents_; }
  std::int64_t bytes() const { return bytes_; }  // of the documents' texts

 private:
  DocumentRule rule_;
  std::vector<Source> sources_;
  std::int64_t documents_ = 0, bytes_ = 0;
};

/// All documents of a corpus, file after file.
class CorpusDocuments {
 public:
  explicit CorpusDocuments(const Corpus& corpus) : corpus_(corpus) {}
  std::optional<Document> next();

 private:
  const Corpus& corpus_;
  std::size_t source_ = 0;
  std::optional<FileDocuments> file_;
};

bool is_blank(std::string_view text);

/// Refuses a NUL byte or bytes that are no UTF-8 by file and offset: Error(bad_input).
void check_is_text(std::string_view text, const std::string& path);

}  // namespace a48::data
