#include "core/base/cpu.h"

#include <cstdlib>
#include <fstream>

#include "core/base/check.h"

namespace a48 {
namespace {

constexpr IsaLevel kLevels[] = {IsaLevel::reference, IsaLevel::portable, IsaLevel::avx2, IsaLevel::avx512};

IsaLevel chosen_isa() {
  const char* const name = std::getenv("A48_ISA");
  if (name == nullptr || *name == '\0') return probed_isa();
  const IsaLevel level = isa_from_name(name);
  A48_CHECK(level <= probed_isa(), ErrorKind::config, "A48_ISA=", name, ": this CPU (", cpu_name(),
            ") goes up to ", isa_name(probed_isa()), "; unset A48_ISA or choose that level or a lower one");
  return level;
}

}  // namespace

const char* isa_name(IsaLevel level) {
  switch (level) {
    case IsaLevel::reference:
      return "reference";
    case IsaLevel::portable:
      return "portable";
    case IsaLevel::avx2:
      return "avx2";
    case IsaLevel::avx512:
      return "avx512";
  }
  return "unknown";
}

IsaLevel isa_from_name(const std::string& name) {
  for (const IsaLevel level : kLevels)
    if (name == isa_name(level)) return level;
  fail(ErrorKind::config, "instruction set \"", name, "\": allowed are reference, portable, avx2, avx512");
}

// The compiler's probe also asks the operating system whether it saves the wide registers.
IsaLevel probed_isa() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx512) return IsaLevel::avx512;
  if (avx2) return IsaLevel::avx2;
#endif
  return IsaLevel::portable;
}

IsaLevel active_isa() {
  static const IsaLevel level = chosen_isa();
  return level;
}

// Every CPU with amx_bf16 has avx512_bf16 too.
bool cpu_has_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace a48
