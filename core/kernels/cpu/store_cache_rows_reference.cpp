#include "core/kernels/cpu/entries.h"
#include "core/quant/reference.h"

namespace a48::kernels::cpu {
namespace {

/// One head of a key or a value into row t of its stream.
bool store_head(int bits, const float* x, std::int64_t hd, std::uint8_t* stream, std::int64_t capacity,
                std::int64_t t) {
  const quant::CacheStream s = quant::cache_stream(bits, hd, capacity, stream);
  quant::F16 no_gamma;
  return quant::reference_encode_cache_row(bits, x, hd, s.rows + t * s.row_bytes,
                                           s.gamma == nullptr ? &no_gamma : s.gamma + t);
}

}  // namespace

void store_cache_rows_reference(const StoreCacheRows& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t hd = a.layout.head_dim;
  for (std::int64_t r = begin; r < end; ++r) {
    const CacheView& view = a.kv[r];
    const std::int64_t t = view.length - 1;
    const bool apart = t == 0 && view.first != nullptr;
    const int bits = apart ? a.layout.first_bits : a.layout.bits;
    const std::int64_t capacity = apart ? 1 : quant::kCacheChunk;
    const std::int64_t stream = apart ? first_stream_bytes(a.layout) : stream_bytes(a.layout);
    std::uint8_t* const base = apart ? view.first : view.chunk[t / quant::kCacheChunk] + view.offset;
    a.status[r] = kRowFinite;
    for (std::int64_t head = 0; head < a.layout.kv_heads; ++head) {
      if (!store_head(bits, a.v.row(r) + head * hd, hd, base + (2 * head + 1) * stream, capacity,
                      t % capacity))
        a.status[r] = kValueNonFinite;
      if (!store_head(bits, a.k.row(r) + head * hd, hd, base + 2 * head * stream, capacity, t % capacity))
        a.status[r] = kKeyNonFinite;
    }
    if (a.status[r] != kRowFinite || a.q_bits == 16) continue;
    for (std::int64_t head = 0; head < a.q.cols / hd; ++head)
      if (!quant::reference_query_is_finite(a.q_bits, a.q.row(r) + head * hd, hd))
        a.status[r] = kQueryNonFinite;
  }
}

}  // namespace a48::kernels::cpu
