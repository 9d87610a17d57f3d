// What the layers of one forward share: where the rows stand, which attention runs, and what is measured.
#pragma once

#include <cstdint>
#include <vector>

#include "core/runtime/sparsity.h"

namespace a48::nn {

class KeyValueCache;

struct Pass {
  at::Tensor position;              // int32 [R]
  std::vector<std::int64_t> begin;  // [sequences + 1], sequences laid end to end; unused with a cache
  bool exact = true;                // attention in the bits of numerics 0; false: LibTorch's fused kernel
  KeyValueCache* cache = nullptr;   // rows continue cached sequences (row_model.h)
  runtime::SparsityCounts* counts = nullptr;  // zero codes per linear input, when measured
};

}  // namespace a48::nn
