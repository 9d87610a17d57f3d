// The order of training windows: a keyed bijection whose whole state is (stream, consumed) (formats.md 6.4).
#pragma once

#include <cstdint>

namespace a48::data {

/// Index of the window at position `position` of stream `stream`, among `windows` windows; epoch = position /
/// windows.
std::int64_t window_at(std::uint64_t seed, std::uint64_t stream, std::int64_t position, std::int64_t windows);

}  // namespace a48::data
