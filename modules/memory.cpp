// What Linux says is free: /proc/meminfo and the control group.
#include "modules/memory.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>

#include "core/base/check.h"
#include "core/ops/gpu.h"

namespace a48::nn {
namespace {

constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// MemAvailable of /proc/meminfo, in bytes.
std::uint64_t available_in_system() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kib = 0;
    if (key == "MemAvailable:" && file >> kib) return kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return kUnknown;
}

/// The value after `key` in a file of "key value" lines; 0 when absent.
std::uint64_t number_after(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

std::uint64_t number_in(const char* path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : kUnknown;  // "max" is no number: no limit
}

std::uint64_t available_in_group() {
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max"),
                      used = number_in("/sys/fs/cgroup/memory.current");
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  const std::uint64_t cached =
      number_after("/sys/fs/cgroup/memory.stat", "inactive_file");  // given back on demand
  const std::uint64_t held = used - std::min(used, cached);
  return limit - std::min(limit, held);
}

}  // namespace

std::string byte_size(double bytes) {
  char text[32];
  if (bytes >= 1e9) {
    std::snprintf(text, sizeof text, "%.2f GB", bytes * 1e-9);
  } else if (bytes >= 1e6) {
    std::snprintf(text, sizeof text, "%.1f MB", bytes * 1e-6);
  } else {
    std::snprintf(text, sizeof text, "%.1f kB", bytes * 1e-3);
  }
  return text;
}

std::uint64_t free_memory_bytes() { return std::min(available_in_system(), available_in_group()); }

void check_memory(std::int64_t parameters, torch::Device device) {
  const std::uint64_t needed = static_cast<std::uint64_t>(parameters) * sizeof(float);
  const std::uint64_t free =
      device.is_cuda() ? static_cast<std::uint64_t>(ops::gpu_memory().free) : free_memory_bytes();
  A48_CHECK(needed <= free, ErrorKind::no_resources, "the model's ", parameters, " weights need ",
            byte_size(static_cast<double>(needed)), " in fp32, ", byte_size(static_cast<double>(free)),
            " are free", device.is_cuda() ? " on the GPU" : "",
            "; choose a smaller model or a machine with more memory");
}

}  // namespace a48::nn
