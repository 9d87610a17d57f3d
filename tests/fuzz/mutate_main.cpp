// Drives a fuzz target for a number of seconds with mutations of its seeds: flipped bits, numbers of
// interest, cut, doubled and moved pieces. Input n of a seed is always the same, so that a crash is found
// again with its number.
//
// usage: <target> SECONDS [SEED [FIRST]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/rng.h"
#include "tests/fuzz/fuzz.h"

namespace a48::test {
namespace {

/// Draws of one input.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t input) : seed_(seed), input_(input) {}
  std::uint64_t next() { return random_bits(seed_, input_, count_++); }
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }

 private:
  std::uint64_t seed_, input_, count_ = 0;
};

/// Mostly in the first bytes, where headers and tables are.
std::size_t place(Draws& draws, std::size_t size) {
  constexpr std::size_t kFront = 4096;
  return draws.below(draws.below(4) == 0 ? size : std::min(size, kFront));
}

std::uint64_t number_of_interest(Draws& draws, std::uint64_t old) {
  const std::uint64_t bit = std::uint64_t{1} << draws.below(64);
  const std::uint64_t numbers[] = {0,       1,         63,        64,        65,       255,       bit - 1,
                                   bit,     bit + 1,   ~bit,      old + 1,   old - 1,  old + 64,  old - 64,
                                   old * 2, old ^ bit, old + bit, old - bit, old << 8, 0x7F800000};
  return numbers[draws.below(std::size(numbers))];
}

void put_number(std::string& input, Draws& draws) {
  const std::size_t width = std::size_t{1} << draws.below(4);
  if (input.size() <= width) return;
  const std::size_t at =
      1 + place(draws, input.size() - width) / width * width;  // byte 0 is no part of a file
  if (at + width > input.size()) return;
  std::uint64_t value = 0;
  std::memcpy(&value, input.data() + at, width);
  value = number_of_interest(draws, value);
  std::memcpy(input.data() + at, &value, width);
}

void move_piece(std::string& input, Draws& draws) {
  const std::size_t length = std::min(input.size(), std::size_t{1} << draws.below(9));
  const std::size_t from = draws.below(input.size() - length + 1),
                    to = place(draws, input.size() - length + 1);
  const std::string piece = input.substr(from, length);
  switch (draws.below(4)) {
    case 0:
      input.insert(to, piece);
      break;
    case 1:
      input.erase(to, length);
      break;
    default:
      input.replace(to, length, piece);
  }
}

void mutate(std::string& input, Draws& draws) {
  if (input.empty()) return;
  switch (draws.below(8)) {
    case 0:
      input[place(draws, input.size())] ^= static_cast<char>(1 << draws.below(8));
      break;
    case 1:
      input[place(draws, input.size())] = static_cast<char>(draws.below(256));
      break;
    case 2:
      input.resize(draws.below(8) == 0 ? place(draws, input.size()) : input.size());
      break;
    case 3:
      move_piece(input, draws);
      break;
    case 4:
      input[0] = static_cast<char>(draws.below(4));
      break;
    default:
      put_number(input, draws);
  }
}

bool accepts(const std::string& input) {
  return packed_file_accepts(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

int run(double seconds, std::uint64_t seed, std::uint64_t first) {
  using Clock = std::chrono::steady_clock;
  const std::vector<std::string> seeds = packed_file_seeds();
  for (const std::string& valid : seeds) {
    if (accepts(valid)) continue;
    std::fprintf(stderr, "a seed is refused\n");
    return 1;
  }
  std::uint64_t input = first, taken = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (; Clock::now() < end; ++input) {
    Draws draws(seed, input);
    std::string mutated = seeds[draws.below(seeds.size())];
    for (std::size_t n = 1 + draws.below(4); n > 0; --n) mutate(mutated, draws);
    if (std::getenv("A48_FUZZ_VERBOSE") != nullptr)
      std::fprintf(stderr, "input %llu\n", static_cast<unsigned long long>(input));
    taken += accepts(mutated);
  }
  std::printf("%llu inputs of seed %llu, %llu accepted\n", static_cast<unsigned long long>(input - first),
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(taken));
  return 0;
}

}  // namespace
}  // namespace a48::test

int main(int count, char** words) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s SECONDS [SEED [FIRST]]\n", words[0]);
    return 2;
  }
  const auto number = [&](int i, std::uint64_t otherwise) {
    return count > i ? std::strtoull(words[i], nullptr, 10) : otherwise;
  };
  return a48::test::run(std::strtod(words[1], nullptr), number(2, 48), number(3, 0));
}
