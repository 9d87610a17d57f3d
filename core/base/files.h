// Files: read, map, and write so that a valid name never holds a half-written file (temporary name, fsync,
// rename, fsync of the folder). A failed write removes its temporary and leaves what existed untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/temporaries.h"

namespace a48 {

using Path = std::filesystem::path;

/// Whole file. Error(bad_input) with the path and the system's reason.
std::string read_file(const Path& path);

/// Read-only memory map of a whole regular file; an empty file maps to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const Path& path);
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const Path& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Path path_;
};

/// Sequential writer of `path`.tmp-<pid>; finish() fsyncs, commit() finishes, renames into place and fsyncs
/// the folder. Without commit the temporary is removed. A full disk or I/O error is Error(no_resources).
class FileWriter {
 public:
  explicit FileWriter(Path path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void write_at(std::uint64_t offset, const void* data, std::size_t bytes);  // patches a header
  std::uint64_t size() const { return size_; }
  const Path& path() const { return path_; }
  const Path& temporary() const { return temporary_.path(); }  // holds everything once finished
  void finish();                                               // nothing can be written any more
  void commit();

 private:
  friend class FileReplacement;
  void flush();
  void take_name();

  Path path_;
  Temporary temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::string buffer_;
};

/// FileWriter in one call.
void write_file(const Path& path, std::string_view text);

/// Gives files that belong together their names, in this order, after all of them are finished. What they
/// replace, and `obsolete`, is FILE.old-<pid> meanwhile and removed last. When a step fails, all is as
/// before.
inline constexpr const char* kAsideMark = ".old-";
void commit_together(std::span<FileWriter* const> files, std::span<const Path> obsolete);

/// Appends whole lines with one write call each, so that a killed process leaves whole lines only.
class LineAppender {
 public:
  LineAppender() = default;
  explicit LineAppender(const Path& path);  // drops an unfinished last line of an earlier process
  LineAppender(LineAppender&&) noexcept;
  LineAppender& operator=(LineAppender&&) noexcept;
  ~LineAppender();
  void append(std::string_view line);  // adds the newline

 private:
  int descriptor_ = -1;
  Path path_;
};

void make_folders(const Path& path);
void sync_folder(const Path& path);
/// rename(2), then fsync of the parent.
void rename_synced(const Path& from, const Path& to);
std::uint64_t free_disk_bytes(const Path& path);

/// A hook of tests: called with the name of each step ("write", "fsync", "rename", "sync_folder") and its
/// path before the step happens; it may throw. Empty by default.
void set_file_fault_hook(std::function<void(std::string_view step, const Path& path)> hook);

}  // namespace a48
