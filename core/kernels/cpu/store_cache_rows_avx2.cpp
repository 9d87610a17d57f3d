#include "core/kernels/cpu/codes_avx2.h"
#include "core/kernels/cpu/entries.h"
// Uses the Vector and the Codes above.
#include "core/kernels/cpu/store_cache_rows_body.h"

namespace a48::kernels::cpu {

void store_cache_rows_avx2(const StoreCacheRows& args, std::int64_t begin, std::int64_t end) {
  store_cache_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
