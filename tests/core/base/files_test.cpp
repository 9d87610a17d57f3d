#include "core/base/files.h"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <set>

#include "core/base/check.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace a48::test {
namespace {

std::set<std::string> names_in(const Path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

ErrorKind kind_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.kind();
  }
  FAIL("no error");
  return ErrorKind::internal;
}

struct Injected {};

/// Lets the n-th step fail while it lives; counts steps.
class FaultAt {
 public:
  explicit FaultAt(int n) {
    set_file_fault_hook([this, n](std::string_view step, const Path&) {
      steps_.emplace_back(step);
      if (static_cast<int>(steps_.size()) == n) throw Injected{};
    });
  }
  ~FaultAt() { set_file_fault_hook({}); }
  const std::vector<std::string>& steps() const { return steps_; }

 private:
  std::vector<std::string> steps_;
};

}  // namespace

TEST_CASE("files: what is written reads back, by copy and by map") {
  const TempDir dir;
  const std::string text = std::string("a\0b", 3) + std::string(600000, 'x');
  write_file(dir / "f", text);
  CHECK(read_file(dir / "f") == text);
  MappedFile map(dir / "f");
  REQUIRE(map.bytes().size() == text.size());
  CHECK(std::memcmp(map.bytes().data(), text.data(), text.size()) == 0);
  const MappedFile moved = std::move(map);
  CHECK(moved.bytes().size() == text.size());
  CHECK(moved.path() == dir / "f");
  CHECK(names_in(dir.path()) == std::set<std::string>{"f"});
}

TEST_CASE("files: an empty file maps to an empty span") {
  const TempDir dir;
  write_file(dir / "f", "");
  CHECK(MappedFile(dir / "f").bytes().empty());
  CHECK(read_file(dir / "f").empty());
}

TEST_CASE("files: small, large and patched writes come out in order") {
  const TempDir dir;
  FileWriter writer(dir / "f");
  std::string expected;
  for (const std::size_t size :
       {std::size_t{8}, std::size_t{300000}, std::size_t{1}, std::size_t{262144}, std::size_t{5}}) {
    const std::string piece(size, static_cast<char>('a' + expected.size() % 26));
    writer.write(piece);
    expected += piece;
  }
  writer.write_at(2, "HEAD", 4);
  expected.replace(2, 4, "HEAD");
  writer.write("end");
  CHECK(writer.size() == expected.size() + 3);
  writer.commit();
  CHECK(read_file(dir / "f") == expected + "end");
}

TEST_CASE("files: without commit nothing changes and nothing is left") {
  const TempDir dir;
  write_file(dir / "f", "old");
  {
    FileWriter writer(dir / "f");
    writer.write("new");
  }
  CHECK(read_file(dir / "f") == "old");
  CHECK(names_in(dir.path()) == std::set<std::string>{"f"});
}

TEST_CASE("files: a fault at any step leaves the old or the new file, whole") {
  const TempDir dir;
  const std::string old_text(1000, 'o'), new_text(700000, 'n');
  std::size_t steps = 0;
  {
    const FaultAt never(-1);
    write_file(dir / "f", new_text);
    steps = never.steps().size();
    CHECK(std::set<std::string>(never.steps().begin(), never.steps().end()) ==
          std::set<std::string>{"write", "fsync", "rename", "sync_folder"});
  }
  for (int n = 1; n <= static_cast<int>(steps); ++n) {
    write_file(dir / "f", old_text);
    bool renamed = false;
    {
      const FaultAt fault(n);
      CHECK_THROWS_AS(write_file(dir / "f", new_text), Injected);
      renamed = fault.steps().back() == "sync_folder";
    }
    CHECK(read_file(dir / "f") == (renamed ? new_text : old_text));
    CHECK(names_in(dir.path()) == std::set<std::string>{"f"});
  }
}

TEST_CASE("files: those that belong together appear together, and a fault at any step leaves the old ones") {
  const TempDir dir;
  const auto reset = [&] {
    for (const char* name : {"a", "b", "gone"}) write_file(dir / name, "old");
    std::filesystem::remove(dir / "c");
  };
  const auto replace = [&] {
    FileWriter a(dir / "a"), b(dir / "b"), c(dir / "c");
    std::vector<FileWriter*> files{&a, &b, &c};
    for (FileWriter* file : files) file->write("new");
    const Path gone = dir / "gone";
    commit_together(files, {&gone, 1});
  };
  reset();
  std::size_t steps = 0;
  {
    const FaultAt never(-1);
    replace();
    steps = never.steps().size();
  }
  CHECK(names_in(dir.path()) == std::set<std::string>{"a", "b", "c"});
  for (const char* name : {"a", "b", "c"}) CHECK(read_file(dir / name) == "new");
  for (int n = 1; n <= static_cast<int>(steps); ++n) {
    reset();
    INFO("step " << n);
    {
      const FaultAt fault(n);
      CHECK_THROWS_AS(replace(), Injected);
    }
    CHECK(names_in(dir.path()) == std::set<std::string>{"a", "b", "gone"});
    for (const char* name : {"a", "b", "gone"}) CHECK(read_file(dir / name) == "old");
  }
}

TEST_CASE("files: a full disk is named as such, and what existed stays") {
  if (!std::filesystem::exists("/dev/full")) A48_SKIP("no /dev/full");
  const TempDir dir;
  write_file(dir / "f", "old");
  const auto on_full_disk = [&](const std::string& text) {
    std::filesystem::create_symlink("/dev/full", dir / ("f.tmp-" + std::to_string(getpid())));
    CHECK(kind_of([&] { write_file(dir / "f", text); }) == ErrorKind::no_resources);
  };
  on_full_disk("small, fails at commit");
  on_full_disk(std::string(1 << 20, 'x'));
  CHECK(read_file(dir / "f") == "old");
  CHECK(names_in(dir.path()) == std::set<std::string>{"f"});
  LineAppender lines{Path("/dev/full")};
  CHECK_THROWS_WITH(lines.append("text"), contains("free some space"));
}

TEST_CASE("files: what cannot be read is bad input with path and reason") {
  const TempDir dir;
  CHECK_THROWS_WITH(read_file(dir / "none"), contains("none: No such file"));
  CHECK(kind_of([&] { read_file(dir.path()); }) == ErrorKind::bad_input);
  CHECK(kind_of([&] { MappedFile{dir.path()}; }) == ErrorKind::bad_input);
  CHECK(kind_of([&] { MappedFile{dir / "none"}; }) == ErrorKind::bad_input);
  CHECK(kind_of([&] { FileWriter{dir / "none" / "f"}; }) == ErrorKind::bad_input);
  CHECK(kind_of([&] { FileWriter{dir.path()}; }) == ErrorKind::bad_input);
}

TEST_CASE("files: an appender drops an unfinished last line and then adds whole ones") {
  const TempDir dir;
  std::ofstream(dir / "log") << "one\ntwo\nthr";
  {
    LineAppender lines(dir / "log");
    lines.append("three");
    LineAppender moved = std::move(lines);
    moved.append("four");
  }
  CHECK(read_file(dir / "log") == "one\ntwo\nthree\nfour\n");
  std::ofstream(dir / "torn") << "no newline at all";
  { LineAppender lines(dir / "torn"); }
  CHECK(read_file(dir / "torn").empty());
}

TEST_CASE("files: folders, renames and free space") {
  const TempDir dir;
  make_folders(dir / "a" / "b" / "c");
  make_folders(dir / "a" / "b" / "c");
  CHECK(std::filesystem::is_directory(dir / "a" / "b" / "c"));
  write_file(dir / "a" / "f", "x");
  CHECK(kind_of([&] { make_folders(dir / "a" / "f"); }) == ErrorKind::bad_input);
  rename_synced(dir / "a", dir / "z");
  CHECK(read_file(dir / "z" / "f") == "x");
  CHECK(kind_of([&] { rename_synced(dir / "a", dir / "y"); }) == ErrorKind::bad_input);
  CHECK(free_disk_bytes(dir.path()) > 0);
}

}  // namespace a48::test
