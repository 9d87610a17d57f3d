// Statistic, TopK, codes in AVX-512: quantize_rows_body.h on the registers of rows_avx512.h.
#include "core/kernels/cpu/entries.h"
#include "core/kernels/cpu/rows_avx512.h"
// Uses the registers above.
#include "core/kernels/cpu/quantize_rows_body.h"

namespace a48::kernels::cpu {

void stat_rows_avx512(const StatRows& args, std::int64_t begin, std::int64_t end) {
  stat_rows_body(args, begin, end);
}

void abs_sum_rows_avx512(const AbsSumRows& args, std::int64_t begin, std::int64_t end) {
  abs_sum_rows_body(args, begin, end);
}

void encode_rows_avx512(const EncodeRows& args, std::int64_t begin, std::int64_t end) {
  encode_rows_body(args, begin, end);
}

void topk_rows_avx512(const TopkRows& args, std::int64_t begin, std::int64_t end) {
  topk_rows_body(args, begin, end);
}

void quantize_rows_avx512(const QuantizeRows& args, std::int64_t begin, std::int64_t end) {
  quantize_rows_body(args, begin, end);
}

}  // namespace a48::kernels::cpu
