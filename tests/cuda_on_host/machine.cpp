// Fibers: made once by makecontext, switched by _setjmp and _longjmp, which enter no kernel of the operating
// system. A fiber runs until it has to wait; then the scheduler on the calling thread picks the next.
#include "tests/cuda_on_host/machine.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "core/base/check.h"
#include "core/base/rng.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// Where static __shared__ variables stand (cuda_runtime.h); absent when no kernel has any.
extern "C" {
extern char __start_a48_shared_memory[] __attribute__((weak));
extern char __stop_a48_shared_memory[] __attribute__((weak));
}

a48::cuda_on_host::Index threadIdx, blockIdx, blockDim, gridDim;

namespace a48::cuda_on_host {
namespace {

constexpr std::size_t kStackBytes = 256 * 1024;  // reserved; touched pages count

enum class State { running, at_barrier, in_collective, ended };

struct Copy {
  void* shared;
  const void* global;
  unsigned bytes, total;
};

struct Fiber {
  jmp_buf place;
  ucontext_t start;
  bool started = false;
  State state = State::ended;
  Index thread;
  Where where;
  // in_collective:
  const char* name = nullptr;
  unsigned mask = 0;
  void* mine = nullptr;
  // cp.async: committed groups, oldest first, then the open one.
  std::deque<std::vector<Copy>> copies{1};
};

class Machine {
 public:
  void run_grid(Index grid, Index block, std::size_t shared_bytes, const std::function<void()>& body);
  void block_barrier(Where where);
  void collective(const char* name, unsigned mask, void* mine, Complete complete, Where where);
  [[noreturn]] void fault(const std::string& what, Where where);
  [[noreturn]] void fiber_main();

  Order order = Order::ascending;
  std::uint64_t seed = 0;
  unsigned char* shared = nullptr;
  unsigned current = 0;
  std::vector<std::unique_ptr<Fiber>> fibers;

 private:
  void prepare(unsigned threads);
  void run_block();
  bool pick(unsigned& next);
  void resume(unsigned next);
  void yield();
  void set_ready(unsigned i, bool ready);
  [[noreturn]] void stuck();

  const std::function<void()>* body_ = nullptr;
  unsigned threads_ = 0, ended_ = 0, at_barrier_ = 0;
  // One bit a lane: can go on; waits in a collective; has ended or never was.
  std::array<std::uint32_t, kMostThreads / kWarp> ready_{}, waiting_{}, gone_{};
  std::uint64_t draws_ = 0;
  jmp_buf scheduler_;
  std::string fault_;
  std::size_t shared_bytes_ = 0;
#if defined(__SANITIZE_ADDRESS__)
  const void* main_stack_ = nullptr;
  std::size_t main_stack_bytes_ = 0;
#endif
  char* stacks_ = nullptr;
};

Machine& machine() {
  static Machine the_machine;
  return the_machine;
}

[[gnu::noinline]] void jump(jmp_buf& from, jmp_buf& to) {
  if (_setjmp(from) == 0) _longjmp(to, 1);
}

void fiber_start() { machine().fiber_main(); }

std::string text(Where where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}

std::string text(Index i) { return concat(i.x, ",", i.y, ",", i.z); }

bool same_place(Where a, Where b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

void Machine::prepare(unsigned threads) {
  if (stacks_ == nullptr) {
    void* memory = mmap(nullptr, kMostThreads * kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    A48_ASSERT(memory != MAP_FAILED, "no address space for", kMostThreads, "stacks");
    stacks_ = static_cast<char*>(memory);
  }
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  threads_ = threads;
}

void Machine::set_ready(unsigned i, bool ready) {
  const std::uint32_t bit = 1u << (i % kWarp);
  ready_[i / kWarp] = ready ? ready_[i / kWarp] | bit : ready_[i / kWarp] & ~bit;
}

// The fiber to go on with; false when none can.
bool Machine::pick(unsigned& next) {
  const unsigned warps = (threads_ + kWarp - 1) / kWarp;
  unsigned skip = 0;  // ready fibers below the one to pick
  if (order == Order::random) {
    unsigned total = 0;
    for (unsigned w = 0; w < warps; ++w) total += static_cast<unsigned>(std::popcount(ready_[w]));
    if (total > 0) skip = static_cast<unsigned>(random_bits(seed, 0, draws_++) % total);
  }
  for (unsigned i = 0; i < warps; ++i) {
    const unsigned w = order == Order::descending ? warps - 1 - i : i;
    std::uint32_t bits = ready_[w];
    const unsigned here = static_cast<unsigned>(std::popcount(bits));
    if (skip >= here) {
      skip -= here;
      continue;
    }
    for (; skip > 0; --skip) bits &= bits - 1;
    const int lane = order == Order::descending ? 31 - std::countl_zero(bits) : std::countr_zero(bits);
    next = w * kWarp + static_cast<unsigned>(lane);
    return true;
  }
  return false;
}

void Machine::resume(unsigned next) {
  current = next;
  Fiber& fiber = *fibers[next];
  threadIdx = fiber.thread;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stacks_ + next * kStackBytes, kStackBytes);
#endif
  if (fiber.started) {
    jump(scheduler_, fiber.place);
  } else {
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = stacks_ + next * kStackBytes;
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, fiber_start, 0);
    if (_setjmp(scheduler_) == 0) setcontext(&fiber.start);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// Back to the scheduler, until it resumes this fiber.
void Machine::yield() {
  Fiber& fiber = *fibers[current];
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, main_stack_, main_stack_bytes_);
#endif
  jump(fiber.place, scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &main_stack_, &main_stack_bytes_);
#endif
}

void Machine::fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_stack_, &main_stack_bytes_);
#endif
  for (;;) {  // one kernel after another
    Fiber& fiber = *fibers[current];
    try {
      (*body_)();
      for (const std::vector<Copy>& group : fiber.copies)
        if (!group.empty())
          fault("the thread ended before it waited for its asynchronous copies", Where::current());
    } catch (
        const Fault& found) {  // it may not leave the fiber: run_block throws it again and drops all fibers
      fault_ = found.what();
    }
    fiber.copies.assign(1, {});
    fiber.state = State::ended;
    set_ready(current, false);
    gone_[current / kWarp] |= 1u << (current % kWarp);
    ++ended_;
    yield();
  }
}

void Machine::fault(const std::string& what, Where where) {
  throw Fault(concat(text(where), ": ", what, " (block ", text(blockIdx), ", thread ", text(threadIdx), ")"));
}

void Machine::block_barrier(Where where) {
  Fiber& fiber = *fibers[current];
  fiber.state = State::at_barrier;
  fiber.where = where;
  set_ready(current, false);
  if (++at_barrier_ < threads_) {
    yield();
    return;
  }
  for (unsigned i = 0; i < threads_; ++i)
    if (!same_place(fibers[i]->where, where))
      fault(concat("thread ", i, " is at the barrier of ", text(fibers[i]->where)), where);
  at_barrier_ = 0;
  for (unsigned i = 0; i < threads_; ++i) {
    fibers[i]->state = State::running;
    set_ready(i, true);
  }
  yield();  // the order decides who goes first
}

void Machine::collective(const char* name, unsigned mask, void* mine, Complete complete, Where where) {
  const unsigned first = current / kWarp * kWarp, lane = current - first;
  if ((mask >> lane & 1) == 0) fault(concat(name, ": the mask lacks the calling lane ", lane), where);
  Fiber& fiber = *fibers[current];
  fiber.state = State::in_collective;
  fiber.where = where;
  fiber.name = name;
  fiber.mask = mask;
  fiber.mine = mine;
  set_ready(current, false);

  const unsigned warp = current / kWarp;
  waiting_[warp] |= 1u << lane;
  if ((mask & gone_[warp]) != 0)
    fault(concat(name, ": the mask names lane ", std::countr_zero(mask & gone_[warp]),
                 ", which is not there or has ended"),
          where);
  if ((waiting_[warp] & mask) == mask) {
    void* lanes[kWarp] = {};
    for (unsigned l = 0; l < kWarp; ++l) {
      if ((mask >> l & 1) == 0) continue;
      const Fiber& other = *fibers[first + l];
      if (std::strcmp(other.name, name) != 0 || other.mask != mask || !same_place(other.where, where))
        fault(concat(name, ": lane ", l, " is in ", other.name, " of ", text(other.where),
                     " instead, or with another mask"),
              where);
      lanes[l] = other.mine;
    }
    complete(mask, lanes, where);
    waiting_[warp] &= ~mask;
    ready_[warp] |= mask;
    for (unsigned l = 0; l < kWarp; ++l)
      if ((mask >> l & 1) != 0) fibers[first + l]->state = State::running;
  }
  yield();
}

void Machine::stuck() {
  std::string message = concat("block ", text(blockIdx), ": no thread can go on;");
  std::string previous;
  unsigned count = 0;
  const auto flush = [&] {
    if (count > 0) message += concat(" ", count, " ", previous, ";");
  };
  for (unsigned i = 0; i < threads_; ++i) {
    const Fiber& fiber = *fibers[i];
    const std::string state = fiber.state == State::ended ? "have ended"
                              : fiber.state == State::at_barrier
                                  ? "wait at the barrier of " + text(fiber.where)
                                  : concat("wait in ", fiber.name, " of ", text(fiber.where));
    if (state != previous) {
      flush();
      previous = state;
      count = 0;
    }
    ++count;
  }
  flush();
  throw Fault(message);
}

void Machine::run_block() {
  if (shared_bytes_ > 0) std::memset(shared, kPoison, shared_bytes_);
  if (__start_a48_shared_memory != nullptr)
    std::memset(__start_a48_shared_memory, kPoison,
                static_cast<std::size_t>(__stop_a48_shared_memory - __start_a48_shared_memory));
  ended_ = at_barrier_ = 0;
  ready_.fill(0);
  waiting_.fill(0);
  gone_.fill(~0u);
  for (unsigned i = 0; i < threads_; ++i) {
    fibers[i]->state = State::running;
    fibers[i]->thread = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    set_ready(i, true);
    gone_[i / kWarp] &= ~(1u << (i % kWarp));
  }
  while (ended_ < threads_) {
    unsigned next = 0;
    if (!pick(next)) stuck();
    resume(next);
    if (!fault_.empty()) throw Fault(fault_);
  }
}

void Machine::run_grid(Index grid, Index block, std::size_t shared_bytes, const std::function<void()>& body) {
  body_ = &body;
  gridDim = grid;
  blockDim = block;
  shared_bytes_ = shared_bytes;
  prepare(block.x * block.y * block.z);
  // Of the exact size, so that the address sanitizer sees its end.
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };
  std::unique_ptr<unsigned char, Free> memory(
      static_cast<unsigned char*>(std::aligned_alloc(128, (shared_bytes + 127) / 128 * 128)));
  shared = memory.get();
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  try {
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t b = order == Order::descending ? blocks - 1 - i : i;
      blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                  static_cast<unsigned>(b / grid.x / grid.y)};
      run_block();
    }
  } catch (...) {
    fault_.clear();
    fibers.clear();  // those that wait hold half a kernel on their stacks
    throw;
  }
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  machine().order = order;
  machine().seed = seed;
}

void run_grid(Index grid, Index block, std::size_t shared_bytes, const std::function<void()>& body) {
  machine().run_grid(grid, block, shared_bytes, body);
}

unsigned char* dynamic_shared() { return machine().shared; }
void fault(const std::string& what, Where where) { machine().fault(what, where); }
void block_barrier(Where where) { machine().block_barrier(where); }
void collective(const char* name, unsigned mask, void* mine, Complete complete, Where where) {
  machine().collective(name, mask, mine, complete, where);
}

void copy_later(void* shared, const void* global, unsigned bytes, unsigned total, Where where) {
  if ((reinterpret_cast<std::uintptr_t>(shared) | reinterpret_cast<std::uintptr_t>(global)) % total != 0)
    fault(concat("cp.async of ", total, " bytes between addresses that are no multiples of it"), where);
  if (bytes > total) fault(concat("cp.async reads ", bytes, " bytes for ", total), where);
  machine().fibers[machine().current]->copies.back().push_back({shared, global, bytes, total});
}

void commit_copies() { machine().fibers[machine().current]->copies.emplace_back(); }

void wait_copies(unsigned pending) {
  std::deque<std::vector<Copy>>& groups = machine().fibers[machine().current]->copies;
  while (groups.size() > pending + 1) {
    for (const Copy& copy : groups.front()) {
      if (copy.bytes > 0) std::memcpy(copy.shared, copy.global, copy.bytes);
      std::memset(static_cast<char*>(copy.shared) + copy.bytes, 0, copy.total - copy.bytes);
    }
    groups.pop_front();
  }
}

}  // namespace a48::cuda_on_host
