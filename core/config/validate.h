// Cross-field rules: one small named function each in validate.cpp.
#pragma once

#include <string>
#include <vector>

#include "core/config/types.h"

namespace a48::config {

/// All violations, each "path: what, value, allowed"; empty = valid. load calls it.
std::vector<std::string> violations(const RunConfig& config);
/// What is allowed and may surprise later (export limits).
std::vector<std::string> warnings(const RunConfig& config);

}  // namespace a48::config
