// What `a48 inspect` tells about a packed file: identity, shape, where its bytes go, how sparse its weights
// are, and every section. The file: packed_file.h.
#pragma once

#include "core/base/json.h"
#include "core/runtime/packed_file.h"

namespace a48::runtime {

/// {"file", "identity", "bytes", "mode", "head", "tied", "tokenizer", "kv_bits", …, "model": {shape},
///  "groups": [{"group", "bytes", "weights"}], "projections": [{"projection", "weights", "nonzero"}],
///  "sections": [{"name", "layout", "rows", "cols", "offset", "bytes", "sha256", and of ternary ones "scale",
///  "nonzero"}]}. `nonzero` of a projection is a share, over all layers.
Json summary_of(const PackedModel& model);

}  // namespace a48::runtime
