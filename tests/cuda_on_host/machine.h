// A GPU's threads without a GPU: the blocks of a grid run one after another on the calling thread, each CUDA
// thread as a fiber with a stack of its own. Between two barriers fibers run in the order that the test
// chooses; whatever a kernel leaves to chance shows as a wrong result or as a Fault. The language that
// kernels are written in, on top of this: cuda_runtime.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>

namespace a48::cuda_on_host {

using Where = std::source_location;

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kMostThreads = 1024;
inline constexpr std::size_t kSharedDefault = 48 * 1024;  // what a kernel may have without asking for more
inline constexpr std::size_t kSharedMost = 163 * 1024;    // sm_80

/// What shared and fresh device memory is filled with: -3e7 as float, -53 as int8, no valid ternary byte.
inline constexpr unsigned char kPoison = 0xCB;

/// Which of the fibers that can go on does so: always the lowest, always the highest, or a random one. The
/// first two show every dependence of one thread on another that no barrier orders. Blocks likewise.
enum class Order { ascending, descending, random };
void set_order(Order order, std::uint64_t seed = 0);

/// A kernel broke a rule of the machine; says which, and where.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

/// Runs `body` once per thread of the grid; throws Fault. `shared_bytes` of dynamic shared memory.
void run_grid(Index grid, Index block, std::size_t shared_bytes, const std::function<void()>& body);

// For the running fiber only.
unsigned char* dynamic_shared();
[[noreturn]] void fault(const std::string& what, Where where);

/// Returns when every thread of the block has come to the same place.
void block_barrier(Where where);

/// An operation of the lanes in `mask`: the last to arrive calls complete(mask, lanes), where lanes[l] is the
/// `mine` of lane l; then all go on. All must come to the same place with the same mask.
using Complete = void (*)(unsigned mask, void* const* lanes, Where where);
void collective(const char* name, unsigned mask, void* mine, Complete complete, Where where);

/// An asynchronous copy of `bytes`, then zeros up to `total`: carried out by the wait that asks for it.
void copy_later(void* shared, const void* global, unsigned bytes, unsigned total, Where where);
void commit_copies();
/// Carries out all groups of this thread but the `pending` latest.
void wait_copies(unsigned pending);

}  // namespace a48::cuda_on_host

// The built-in variables of the running fiber.
extern a48::cuda_on_host::Index threadIdx, blockIdx, blockDim, gridDim;
