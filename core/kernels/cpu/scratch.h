// Memory that a kernel needs while it runs, so that none of them allocates: one block a thread, kept between
// calls.
#pragma once

#include <cstddef>
#include <cstdint>

namespace a48::kernels::cpu {

/// At least `bytes` of the calling thread's own, 64-byte aligned, contents unspecified. The next call of the
/// same thread may give the same memory again.
std::byte* thread_scratch(std::int64_t bytes);

}  // namespace a48::kernels::cpu
