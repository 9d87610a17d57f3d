#include "core/kernels/cpu/codes_avx2.h"
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/vector_avx2.h"
// Uses the Vector and the Codes above.
#include "core/kernels/cpu/attention_cache_rows_body.h"

namespace a48::kernels::cpu {

void attention_cache_sums_avx2(const AttentionCachePart& part, std::int64_t begin, std::int64_t end) {
  attention_cache_sums_body(part, begin, end);
}

void attention_cache_merge_avx2(const AttentionCachePart& part, std::int64_t begin, std::int64_t end) {
  attention_cache_merge_body(part, begin, end);
}

}  // namespace a48::kernels::cpu
