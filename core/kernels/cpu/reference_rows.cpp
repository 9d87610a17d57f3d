// The `reference` level: the loops of core/quant/reference.cpp on a range of rows.
#include "core/quant/reference.h"

#include "core/kernels/cpu/entries.h"

namespace a48::kernels::cpu {
namespace {

template <typename T>
Rows<T> slice(Rows<T> all, std::int64_t begin, std::int64_t end) {
  return {all.data == nullptr ? nullptr : all.row(begin), end - begin, all.cols, all.stride};
}

}  // namespace

void stat_rows_reference(const StatRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_stat_rows(slice(args.x, begin, end), args.scheme, args.stat + begin, args.status + begin);
}

void encode_rows_reference(const EncodeRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_encode_rows(slice(args.x, begin, end), args.scheme, args.stat + begin, args.status + begin,
                               slice(args.codes, begin, end), args.step + begin, args.code_sum + begin);
}

void topk_rows_reference(const TopkRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_topk_rows(slice(args.x, begin, end), args.keep, slice(args.mask, begin, end));
}

void quantize_rows_reference(const QuantizeRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_quantize_rows(slice(args.x, begin, end), args.scheme, args.keep,
                                 slice(args.codes, begin, end), args.step + begin, args.code_sum + begin,
                                 args.status + begin);
}

void pack4_rows_reference(const Pack4Rows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_pack4_rows(args.scheme, slice(args.codes, begin, end), slice(args.packed, begin, end));
}

void unpack4_rows_reference(const Unpack4Rows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_unpack4_rows(args.scheme, slice(args.packed, begin, end), slice(args.codes, begin, end));
}

void codes_to_float_reference(const CodesToFloat& args, std::int64_t begin, std::int64_t end) {
  quant::reference_codes_to_float(args.scheme, slice(args.codes, begin, end), slice(args.packed, begin, end),
                                  slice(args.q, begin, end));
}

void abs_sum_rows_reference(const AbsSumRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_abs_sum_rows(slice(args.x, begin, end), args.sum + begin);
}

void rms_norm_rows_reference(const RmsNormRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_rms_norm_rows(slice(args.x, begin, end), args.gain, args.eps, slice(args.y, begin, end),
                                 args.inverse_rms == nullptr ? nullptr : args.inverse_rms + begin);
}

void rms_norm_backward_blocks_reference(const RmsNormBackwardBlocks& args, std::int64_t begin,
                                        std::int64_t end) {
  const RmsNormBackwardRows& norm = args.norm;
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t first = block * quant::kGainBlockRows;
    const std::int64_t last =
        first + quant::kGainBlockRows < norm.x.rows ? first + quant::kGainBlockRows : norm.x.rows;
    float* dgain = args.dgain_of_block.row(block);
    for (std::int64_t k = 0; k < norm.x.cols; ++k) dgain[k] = 0.0f;
    quant::reference_rms_norm_backward_rows(slice(norm.x, first, last), slice(norm.dy, first, last),
                                            norm.gain, norm.inverse_rms + first, slice(norm.dx, first, last),
                                            dgain);
  }
}

void glu_rows_reference(const GluRows& args, std::int64_t begin, std::int64_t end) {
  const auto glu =
      args.kind == GluKind::relu2 ? quant::reference_relu2_glu_rows : quant::reference_silu_glu_rows;
  glu(slice(args.gate, begin, end), slice(args.up, begin, end), slice(args.y, begin, end));
}

void glu_backward_rows_reference(const GluBackwardRows& args, std::int64_t begin, std::int64_t end) {
  const auto gradient = args.kind == GluKind::relu2 ? quant::reference_relu2_glu_backward_rows
                                                    : quant::reference_silu_glu_backward_rows;
  gradient(slice(args.gate, begin, end), slice(args.up, begin, end), slice(args.dy, begin, end),
           slice(args.dgate, begin, end), slice(args.dup, begin, end));
}

void rope_rows_reference(const RopeRows& args, std::int64_t begin, std::int64_t end) {
  quant::reference_rope_rows(slice(args.x, begin, end), slice(args.y, begin, end), args.position + begin,
                             args.heads, args.head_dim, args.cos, args.sin, args.inverse);
}

}  // namespace a48::kernels::cpu
