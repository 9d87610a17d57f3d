// What a fuzz target offers its driver (mutate_main.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace a48::test {

/// Is the input accepted? False: it is refused as it should be. Anything else ends the program.
bool packed_file_accepts(const std::uint8_t* data, std::size_t size);
/// Valid inputs to start from.
std::vector<std::string> packed_file_seeds();

}  // namespace a48::test
