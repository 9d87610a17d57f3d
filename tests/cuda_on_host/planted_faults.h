// Kernels with one fault each, and the same kernels without it: what machine_test.cpp must tell apart.
#pragma once

#include <cstdint>

namespace a48::test {

inline constexpr int kThreads = 64;  // of every kernel here, in one block

/// out[i] = in[63 − i] through dynamic shared memory. Fault: no barrier between writing and reading it.
void reverse_in_shared(const int* in, int* out, bool barrier);
/// out[i] = sum of in over the warp of i, and with a second use of the same static shared array the maximum.
/// Fault: no barrier between the first reading and the second writing.
void reuse_shared(const int* in, int* sum, int* largest, bool barrier);
/// d [16, 8] = a [16, 32] · b [8, 32]ᵀ of int8 by one mma. Fault: a[1] and a[2] exchanged.
void multiply_tile(const std::int8_t* a, const std::int8_t* b, std::int32_t* d, bool right_index);
/// out[i] = in[i] by cp.async. Fault: no wait before the barrier.
void copy_asynchronously(const std::uint32_t* in, std::uint32_t* out, bool wait);

/// What a launch must refuse with a Fault.
enum class Misuse {
  barrier_not_by_all,
  barrier_after_return,
  divergent_shuffle,
  two_barriers,
  outside_memory
};
void misuse(Misuse kind, int* memory);

}  // namespace a48::test
