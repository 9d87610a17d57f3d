// Instruction-set probe and the A48_ISA override. Levels are ordered; a level implies all lower ones.
#pragma once

#include <string>

namespace a48 {

enum class IsaLevel : int { reference = 0, portable = 1, avx2 = 2, avx512 = 3 };

const char* isa_name(IsaLevel level);
/// "reference" | "portable" | "avx2" | "avx512"; anything else is Error(config) naming the choices.
IsaLevel isa_from_name(const std::string& name);
/// The highest level that this CPU and operating system support (avx2 = AVX2, FMA, BMI2, F16C; avx512 = F,
/// BW, VL, DQ, VNNI).
IsaLevel probed_isa();
/// A48_ISA when it is set (an absent level is Error(config)), else probed_isa(). Read once.
IsaLevel active_isa();
/// Native bf16 products: avx512_bf16 or amx_bf16.
bool cpu_has_bf16();
/// "AMD EPYC …" as the system reports it, or "unknown CPU".
std::string cpu_name();

}  // namespace a48
