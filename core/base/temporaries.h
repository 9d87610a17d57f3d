// Unfinished files: their names PATH.tmp-<pid>, their removal when a signal ends the program, and what
// killed programs left behind. Written by files.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace a48 {

struct ListedTemporary;

/// The temporary name of `path`, in the same folder; what bears it is removed unless keep() is called.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& path);
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary();
  const std::filesystem::path& path() const { return path_; }
  void keep();  // it has been renamed

 private:
  std::filesystem::path path_;
  ListedTemporary* listed_ = nullptr;  // where a signal is to remove it
  bool kept_ = false;
};

/// While it lives, SIGINT, SIGTERM and SIGHUP remove the temporaries made since, and then end the program as
/// they would have without it (128 + n in a shell). For programs that have no state to save: training stops
/// between steps instead (training/signals.h).
class TemporariesEndOnSignal {
 public:
  TemporariesEndOnSignal();
  TemporariesEndOnSignal(const TemporariesEndOnSignal&) = delete;
  TemporariesEndOnSignal& operator=(const TemporariesEndOnSignal&) = delete;
  ~TemporariesEndOnSignal();
};

/// Holds those signals back while it lives: files that belong together get their names all or none.
class HoldSignals {
 public:
  HoldSignals();
  HoldSignals(const HoldSignals&) = delete;
  HoldSignals& operator=(const HoldSignals&) = delete;
  ~HoldSignals();
};

/// Removes the temporaries in `folder` of processes that are no more, where `ours` says so of the final name.
void remove_stale_temporaries(const std::filesystem::path& folder,
                              const std::function<bool(std::string_view name)>& ours);

}  // namespace a48
