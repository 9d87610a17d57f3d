// Documents are cut out of mapped files line by line; JSONL records go through core/base/json.cpp.
#include "data/corpus.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/utf8.h"

namespace a48::data {

std::string_view FileDocuments::take_line() {
  const std::size_t end = std::min(text_.size(), text_.find('\n', at_));
  const std::string_view line = text_.substr(at_, end - at_);
  at_ = std::min(end + 1, text_.size());
  ++lines_;
  return line;
}

/// Up to the next separator, or to the end of the file.
std::string_view FileDocuments::take_piece() {
  const std::size_t begin = at_;
  if (rule_.separator.empty()) at_ = text_.size();
  while (at_ < text_.size()) {
    const std::size_t end = at_;
    const std::string_view line = take_line();
    const bool carriage_return = line.ends_with('\r') && !rule_.separator.ends_with('\r');
    if (line.substr(0, line.size() - carriage_return) != rule_.separator) continue;
    met_separator_ = true;
    return text_.substr(begin, end - begin);
  }
  return text_.substr(begin);
}

/// Of one line; without text when the line is blank.
Document FileDocuments::take_record() {
  const std::string_view line = take_line();
  if (is_blank(line)) return {};
  const std::string where = concat(path_, ":", lines_);
  const Json record = Json::parse(line, path_, nullptr, lines_);
  const Json* member = record.find(rule_.field);
  A48_CHECK(member != nullptr && member->is_string(), ErrorKind::bad_input, where, ": ",
            member == nullptr ? "has no member" : "no string in the member", " \"", rule_.field,
            "\"; --field names another");
  Document document;
  document.decoded = std::make_unique<const std::string>(member->as_string());
  document.text = *document.decoded;
  A48_CHECK(document.text.find('\0') == std::string_view::npos, ErrorKind::bad_input, where,
            ": the text holds a NUL character");
  return document;
}

std::optional<Document> FileDocuments::next() {
  while (at_ < text_.size()) {
    Document document = rule_.field.empty() ? Document{take_piece(), nullptr} : take_record();
    if (!is_blank(document.text)) return document;
  }
  return {};
}

std::string_view Corpus::Source::text() const {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Corpus::Corpus(const std::vector<std::string>& paths, DocumentRule rule) : rule_(std::move(rule)) {
  for (const std::string& path : paths) {
    A48_CHECK(std::filesystem::exists(path), ErrorKind::bad_input, path, ": no such file");
    Source& source = sources_.emplace_back();
    source.path = path;
    source.name = Path(path).filename().string();
    source.file = MappedFile(path);
    const std::string_view text = source.text();
    check_is_text(text, path);
    source.sha256 = sha256_hex(text);
    FileDocuments documents(text, path, rule_);
    while (const std::optional<Document> document = documents.next()) {
      ++source.documents;
      bytes_ += static_cast<std::int64_t>(document->text.size());
    }
    documents_ += source.documents;
    if (!rule_.separator.empty() && !documents.met_separator() && !text.empty())
      log::warning(
          concat(path, ": no line is \"", rule_.separator, "\" (--split), so the file is one document"));
    A48_CHECK(!text.empty(), ErrorKind::bad_input, path, ": holds no text; the file is empty");
    A48_CHECK(source.documents > 0, ErrorKind::bad_input, path, ": holds no text, only white space",
              rule_.separator.empty() ? "" : " and separators");
  }
}

std::optional<Document> CorpusDocuments::next() {
  while (source_ < corpus_.sources().size()) {
    const Corpus::Source& source = corpus_.sources()[source_];
    if (!file_) file_.emplace(source.text(), source.path, corpus_.rule());
    if (std::optional<Document> document = file_->next()) return document;
    file_.reset();
    ++source_;
  }
  return {};
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

void check_is_text(std::string_view text, const std::string& path) {
  const std::size_t nul = text.find('\0');
  A48_CHECK(nul == std::string_view::npos, ErrorKind::bad_input, path, ": byte ", nul,
            " is NUL; this is a binary file, not text");
  const std::size_t wrong = utf8_error(text);
  A48_CHECK(wrong == std::string_view::npos, ErrorKind::bad_input, path, ": byte ", wrong, " (value ",
            static_cast<int>(static_cast<unsigned char>(text[wrong == std::string_view::npos ? 0 : wrong])),
            ") is not UTF-8. If this is text in another encoding: iconv -f latin1 -t utf8 ", path,
            " > converted.txt");
}

}  // namespace a48::data
