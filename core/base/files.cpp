#include "core/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/check.h"

namespace a48 {
namespace {

constexpr std::size_t kWriteBuffer = 1 << 18;  // bytes; small writes are gathered

std::function<void(std::string_view, const Path&)>& fault_hook() {
  static std::function<void(std::string_view, const Path&)> hook;
  return hook;
}

void before(std::string_view step, const Path& path) {
  if (fault_hook()) fault_hook()(step, path);
}

/// A path that does not fit the request is the user's to change; everything else is the machine's fault.
ErrorKind kind_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
    case EEXIST:
    case ENOTEMPTY:
    case ELOOP:
    case EINVAL:
      return ErrorKind::bad_input;
    default:
      return ErrorKind::no_resources;
  }
}

[[noreturn]] void fail_system(const char* what, const Path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  fail(kind_of(error), what, " ", path.string(), ": ", std::strerror(error),
       full ? "; free some space or choose another folder" : "");
}

Path folder_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }

class Descriptor {
 public:
  Descriptor(const Path& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }

 private:
  int value_;
};

void write_all(int descriptor, const char* data, std::size_t bytes, const Path& path) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system("cannot write", path, errno);
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

}  // namespace

void set_file_fault_hook(std::function<void(std::string_view step, const Path& path)> hook) {
  fault_hook() = std::move(hook);
}

std::string read_file(const Path& path) {
  const Descriptor file(path, O_RDONLY);
  if (file.get() < 0) fail(ErrorKind::bad_input, "cannot read ", path.string(), ": ", std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode))
    fail(ErrorKind::bad_input, "cannot read ", path.string(), ": it is a folder, not a file");
  std::string text(status.st_size > 0 ? static_cast<std::size_t>(status.st_size) : 0, '\0');
  std::size_t filled = 0;
  for (;;) {  // a pipe has no size, and a file may have grown
    if (filled == text.size()) text.resize(text.size() + 4096);
    const ssize_t got = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorKind::bad_input, "cannot read ", path.string(), ": ", std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

MappedFile::MappedFile(const Path& path) : path_(path) {
  const Descriptor file(path, O_RDONLY);
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0)
    fail(ErrorKind::bad_input, "cannot read ", path.string(), ": ", std::strerror(errno));
  A48_CHECK(S_ISREG(status.st_mode), ErrorKind::bad_input, "cannot map ", path.string(),
            ": not a regular file");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;
  void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) fail_system("cannot map", path, errno);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

FileWriter::FileWriter(Path path) : path_(std::move(path)), temporary_(path_) {
  A48_CHECK(!std::filesystem::is_directory(path_), ErrorKind::bad_input, "cannot write ", path_.string(),
            ": a folder has this name");
  descriptor_ = ::open(temporary().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_system("cannot create", temporary(), errno);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileWriter::write(const void* data, std::size_t bytes) {
  A48_ASSERT(descriptor_ >= 0, "write to ", path_.string(), ", which is finished");
  size_ += bytes;
  if (buffer_.size() + bytes > kWriteBuffer) flush();
  if (bytes > kWriteBuffer) {
    before("write", path_);
    write_all(descriptor_, static_cast<const char*>(data), bytes, path_);
  } else {
    buffer_.append(static_cast<const char*>(data), bytes);
  }
}

void FileWriter::flush() {
  if (buffer_.empty()) return;
  before("write", path_);
  write_all(descriptor_, buffer_.data(), buffer_.size(), path_);
  buffer_.clear();
}

void FileWriter::write_at(std::uint64_t offset, const void* data, std::size_t bytes) {
  A48_ASSERT(offset <= size_ && bytes <= size_ - offset, "offset ", offset, ", bytes ", bytes, ", size ",
             size_);
  flush();
  before("write", path_);
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor_, from, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system("cannot write", path_, errno);
    from += written;
    offset += static_cast<std::uint64_t>(written);
    bytes -= static_cast<std::size_t>(written);
  }
}

void FileWriter::finish() {
  if (descriptor_ < 0) return;
  flush();
  before("fsync", path_);
  if (::fsync(descriptor_) != 0) fail_system("cannot write", path_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
}

void FileWriter::take_name() {
  before("rename", path_);
  if (::rename(temporary().c_str(), path_.c_str()) != 0) fail_system("cannot create", path_, errno);
  temporary_.keep();
}

void FileWriter::commit() {
  finish();
  take_name();
  sync_folder(folder_of(path_));
}

void write_file(const Path& path, std::string_view text) {
  FileWriter writer(path);
  writer.write(text);
  writer.commit();
}

/// The names that commit_together() changes, each put back as it was unless the whole is kept.
class FileReplacement {
 public:
  FileReplacement() = default;
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;
  ~FileReplacement() {
    for (const Path& path : placed_) ::unlink(path.c_str());
    for (const auto& [path, aside] : set_aside_) ::rename(aside.c_str(), path.c_str());
  }

  void place(FileWriter& file) {
    set_aside(file.path());
    file.take_name();
    placed_.push_back(file.path());
  }

  void set_aside(const Path& path) {
    if (!std::filesystem::exists(path)) return;
    Path aside = path;
    aside += concat(kAsideMark, ::getpid());
    before("rename", path);
    if (::rename(path.c_str(), aside.c_str()) != 0) fail_system("cannot rename", path, errno);
    set_aside_.emplace_back(path, aside);
  }

  void keep() {
    placed_.clear();
    for (const auto& [path, aside] : set_aside_) ::unlink(aside.c_str());
    set_aside_.clear();
  }

 private:
  std::vector<Path> placed_;
  std::vector<std::pair<Path, Path>> set_aside_;  // a file, and where it is meanwhile
};

void commit_together(std::span<FileWriter* const> files, std::span<const Path> obsolete) {
  for (FileWriter* file : files) file->finish();
  const HoldSignals whole;
  FileReplacement replacement;
  std::set<Path> folders;
  for (const Path& path : obsolete) {
    replacement.set_aside(path);
    folders.insert(folder_of(path));
  }
  for (FileWriter* file : files) {
    replacement.place(*file);
    folders.insert(folder_of(file->path()));
  }
  for (const Path& folder : folders) sync_folder(folder);
  replacement.keep();
}

LineAppender::LineAppender(const Path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_system("cannot open", path, errno);
  const off_t size = ::lseek(descriptor_, 0, SEEK_END);
  off_t whole = size;
  char last = '\0';
  while (whole > 0 && ::pread(descriptor_, &last, 1, whole - 1) == 1 && last != '\n') --whole;
  if (whole < size && ::ftruncate(descriptor_, whole) != 0) fail_system("cannot repair", path, errno);
}

LineAppender::LineAppender(LineAppender&& other) noexcept { *this = std::move(other); }

LineAppender& LineAppender::operator=(LineAppender&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

LineAppender::~LineAppender() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void LineAppender::append(std::string_view line) {
  A48_ASSERT(descriptor_ >= 0, "append without a file");
  before("write", path_);
  std::string whole(line);
  whole += '\n';
  const off_t end = ::lseek(descriptor_, 0, SEEK_END);
  try {
    write_all(descriptor_, whole.data(), whole.size(), path_);
  } catch (...) {
    [[maybe_unused]] const int ignored = ::ftruncate(descriptor_, end);
    throw;
  }
}

void make_folders(const Path& path) {
  if (path.empty() || std::filesystem::is_directory(path)) return;
  make_folders(path.parent_path());
  if (::mkdir(path.c_str(), 0777) != 0 && !(errno == EEXIST && std::filesystem::is_directory(path)))
    fail_system("cannot create the folder", path, errno);
  sync_folder(folder_of(path));
}

void sync_folder(const Path& path) {
  before("sync_folder", path);
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  if (folder.get() < 0) fail_system("cannot open the folder", path, errno);
  // Some network file systems do not sync folders; they refuse with EINVAL.
  if (::fsync(folder.get()) != 0 && errno != EINVAL) fail_system("cannot write the folder", path, errno);
}

void rename_synced(const Path& from, const Path& to) {
  before("rename", to);
  if (::rename(from.c_str(), to.c_str()) != 0) fail_system("cannot rename to", to, errno);
  sync_folder(folder_of(to));
}

std::uint64_t free_disk_bytes(const Path& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) fail_system("cannot ask for the free space of", path, errno);
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace a48
