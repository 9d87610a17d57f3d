#include "core/base/temporaries.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <string>
#include <vector>

namespace a48 {

/// What a signal must remove. Its handler may interrupt anything, hence a list that only grows: an entry is
/// switched off, and never changed otherwise or freed.
struct ListedTemporary {
  std::string path;
  ListedTemporary* next = nullptr;
  std::atomic<bool> there{true};
};

namespace {

constexpr std::string_view kMark = ".tmp-";
constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};

std::atomic<ListedTemporary*> listed{nullptr};
std::atomic<int> scopes{0}, holds{0}, waiting_signal{0};
std::array<struct sigaction, kSignals.size()> earlier;

ListedTemporary* list(const std::string& path) {
  auto* entry = new ListedTemporary{path, listed.load()};
  while (!listed.compare_exchange_weak(entry->next, entry)) {}
  return entry;
}

extern "C" void end_by_signal(int signal) {
  if (holds.load() > 0) {
    waiting_signal.store(signal);
    return;
  }
  for (ListedTemporary* entry = listed.load(); entry != nullptr; entry = entry->next)
    if (entry->there.load()) ::unlink(entry->path.c_str());
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

/// The process of a temporary's name, and the final name before it; 0 for other names.
pid_t process_of(std::string_view file, std::string_view& name) {
  const std::size_t mark = file.rfind(kMark);
  if (mark == std::string_view::npos) return 0;
  name = file.substr(0, mark);
  const std::string_view digits = file.substr(mark + kMark.size());
  pid_t process = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), process);
  return error == std::errc() && end == digits.data() + digits.size() && process > 0 ? process : 0;
}

bool has_ended(pid_t process) { return ::kill(process, 0) != 0 && errno == ESRCH; }

}  // namespace

Temporary::Temporary(const std::filesystem::path& path) : path_(path) {
  path_ += std::string(kMark) + std::to_string(::getpid());
  if (scopes.load() > 0) listed_ = list(std::filesystem::absolute(path_).string());
}

Temporary::~Temporary() {
  if (!kept_) ::unlink(path_.c_str());
  if (listed_ != nullptr) listed_->there.store(false);
}

void Temporary::keep() { kept_ = true; }

TemporariesEndOnSignal::TemporariesEndOnSignal() {
  if (scopes.fetch_add(1) > 0) return;
  struct sigaction action = {};
  action.sa_handler = end_by_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : kSignals) sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &earlier[i]);
    if (earlier[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);  // nohup stays in force
  }
}

TemporariesEndOnSignal::~TemporariesEndOnSignal() {
  if (scopes.fetch_sub(1) > 1) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &earlier[i], nullptr);
}

HoldSignals::HoldSignals() { holds.fetch_add(1); }

HoldSignals::~HoldSignals() {
  if (holds.fetch_sub(1) > 1) return;
  if (const int signal = waiting_signal.exchange(0)) ::raise(signal);
}

void remove_stale_temporaries(const std::filesystem::path& folder,
                              const std::function<bool(std::string_view name)>& ours) {
  std::error_code ignored;  // another process may be doing the same
  std::vector<std::filesystem::path> stale;
  for (const auto& item : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string file = item.path().filename().string();
    std::string_view name;
    const pid_t process = process_of(file, name);
    if (process > 0 && has_ended(process) && ours(name)) stale.push_back(item.path());
  }
  for (const std::filesystem::path& path : stale) std::filesystem::remove(path, ignored);
}

}  // namespace a48
