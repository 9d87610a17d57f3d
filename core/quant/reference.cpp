// Every row operation as numerics.md words it. The formulas are next door: math.h, topk.h, pack.h.
#include "core/quant/reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/fmath.h"
#include "core/quant/glu.h"
#include "core/quant/half.h"
#include "core/quant/math.h"
#include "core/quant/pack.h"
#include "core/quant/topk.h"

namespace a48::quant {
namespace {

constexpr std::uint8_t kFinite = 0, kNonFinite = 1;

double absolute_sum(const float* x, std::int64_t width) {
  return lane_sum<double>(width, [&](std::int64_t k) { return std::fabs(static_cast<double>(x[k])); });
}

float statistic_of(Statistic statistic, const float* x, std::int64_t width) {
  if (statistic == Statistic::absmax) {
    std::uint32_t largest = 0;
    for (std::int64_t k = 0; k < width; ++k) largest = std::max(largest, magnitude_bits(x[k]));
    return from_bits(largest);
  }
  const float mean = static_cast<float>(absolute_sum(x, width) / static_cast<double>(width));
  return statistic == Statistic::absmean2 ? 2.0f * mean : mean;
}

}  // namespace

void reference_stat_rows(Rows<const float> x, Scheme scheme, float* stat, std::uint8_t* status) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float value = statistic_of(row_of(scheme).statistic, x.row(r), x.cols);
    status[r] = is_finite(value) ? kFinite : kNonFinite;
    stat[r] = is_finite(value) ? clamp_statistic(value) : kStatisticFloor;
  }
}

void reference_encode_rows(Rows<const float> x, Scheme scheme, const float* stat, const std::uint8_t* status,
                           Rows<std::int8_t> codes, float* step, std::int32_t* code_sum) {
  const SchemeRow& row = row_of(scheme);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float inv = inv_of(row, stat[r]);
    step[r] = step_of(row, stat[r]);
    code_sum[r] = 0;
    for (std::int64_t k = 0; k < x.cols; ++k) {
      const int code = status[r] == kFinite ? encode(row, x.row(r)[k], inv) : 0;
      codes.row(r)[k] = static_cast<std::int8_t>(code);
      code_sum[r] += code;
    }
  }
}

void reference_topk_rows(Rows<const float> x, std::int64_t keep, Rows<std::uint8_t> mask) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* row = x.row(r);
    for (std::int64_t k = 0; k < x.cols; ++k) {
      std::int64_t rank = 0;
      for (std::int64_t j = 0; j < x.cols; ++j)
        rank += topk_outranks(magnitude_bits(row[j]), j, magnitude_bits(row[k]), k);
      mask.row(r)[k] = rank < keep;
    }
  }
}

void reference_quantize_rows(Rows<const float> x, Scheme scheme, std::int64_t keep, Rows<std::int8_t> codes,
                             float* step, std::int32_t* code_sum, std::uint8_t* status) {
  std::vector<float> stat(static_cast<std::size_t>(x.rows));
  reference_stat_rows(x, scheme, stat.data(), status);
  reference_encode_rows(x, scheme, stat.data(), status, codes, step, code_sum);
  if (keep == 0) return;
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(x.cols));
  for (std::int64_t r = 0; r < x.rows; ++r) {
    reference_topk_rows({x.row(r), 1, x.cols}, keep, {mask.data(), 1, x.cols});
    code_sum[r] = 0;
    for (std::int64_t k = 0; k < x.cols; ++k) {
      if (mask[static_cast<std::size_t>(k)] == 0) codes.row(r)[k] = 0;
      code_sum[r] += codes.row(r)[k];
    }
  }
}

void reference_pack4_rows(Scheme scheme, Rows<const std::int8_t> codes, Rows<std::uint8_t> packed) {
  const CodeKind kind = row_of(scheme).kind;
  for (std::int64_t r = 0; r < codes.rows; ++r)
    for (std::int64_t k = 0; k < codes.cols; k += 2)
      packed.row(r)[k / 2] = pack_pair(kind, codes.row(r)[k], k + 1 < codes.cols ? codes.row(r)[k + 1] : 0);
}

void reference_unpack4_rows(Scheme scheme, Rows<const std::uint8_t> packed, Rows<std::int8_t> codes) {
  const CodeKind kind = row_of(scheme).kind;
  for (std::int64_t r = 0; r < codes.rows; ++r)
    for (std::int64_t k = 0; k < codes.cols; ++k) {
      const int nibble = (packed.row(r)[k / 2] >> (k % 2 * 4)) & 15;
      codes.row(r)[k] = static_cast<std::int8_t>(code_of_nibble(kind, static_cast<std::uint8_t>(nibble)));
    }
}

// A byte is Σ (t_j + 1)·4^j = 0x55 + Σ t_j·4^j, so each code can be added on its own.
void reference_pack_ternary(TernaryLayout layout, Rows<const std::int8_t> codes, Rows<std::uint8_t> packed) {
  for (std::int64_t r = 0; r < packed.rows; ++r)
    std::fill(packed.row(r), packed.row(r) + packed.cols, kEmptyTernaryByte);
  for (std::int64_t n = 0; n < codes.rows; ++n)
    for (std::int64_t k = 0; k < codes.cols; ++k) {
      const TernaryPlace place = ternary_place(layout, n, k);
      std::uint8_t& byte = packed.row(place.row)[place.byte];
      byte = static_cast<std::uint8_t>(byte + codes.row(n)[k] * (1 << (2 * place.code)));
    }
}

void reference_unpack_ternary(TernaryLayout layout, Rows<const std::uint8_t> packed,
                              Rows<std::int8_t> codes) {
  for (std::int64_t r = 0; r < packed.rows; ++r)
    for (std::int64_t i = 0; i < packed.cols; ++i)
      A48_CHECK(ternary_byte_is_valid(packed.row(r)[i]), ErrorKind::bad_input, "row ", r,
                " of packed ternary weights, byte ", i, ": value ", int{packed.row(r)[i]},
                " holds the 2-bit code 3; codes are 0, 1, 2. The data is damaged or is no ternary weight.");
  for (std::int64_t n = 0; n < codes.rows; ++n)
    for (std::int64_t k = 0; k < codes.cols; ++k) {
      const TernaryPlace place = ternary_place(layout, n, k);
      codes.row(n)[k] = static_cast<std::int8_t>(ternary_at(packed.row(place.row)[place.byte], place.code));
    }
}

void reference_pack_i8_rows(Rows<const float> weight, Rows<std::uint8_t> stored, float* scale) {
  for (std::int64_t v = 0; v < weight.rows; ++v) {
    scale[v] = statistic_of(Statistic::absmax, weight.row(v), weight.cols) / 127.0f;
    std::fill(stored.row(v), stored.row(v) + stored.cols, std::uint8_t{0});
    for (std::int64_t k = 0; k < weight.cols; ++k)
      stored.row(v)[k] = static_cast<std::uint8_t>(head_code(weight.row(v)[k], scale[v], 127));
  }
}

namespace {

template <typename Put>
void pack_grouped_rows(Rows<const float> weight, Rows<std::uint8_t> stored, Rows<std::uint16_t> scale,
                       int most, Put put) {
  for (std::int64_t v = 0; v < weight.rows; ++v) {
    const float* row = weight.row(v);
    std::fill(stored.row(v), stored.row(v) + stored.cols, std::uint8_t{0});
    for (std::int64_t first = 0; first < weight.cols; first += kHeadGroup) {
      const std::int64_t count = std::min(kHeadGroup, weight.cols - first);
      const F16 step = to_f16(statistic_of(Statistic::absmax, row + first, count) / static_cast<float>(most));
      scale.row(v)[first / kHeadGroup] = step.bits;
      for (std::int64_t k = first; k < first + count; ++k)
        put(stored.row(v), k, head_code(row[k], widen(step), most));
    }
  }
}

}  // namespace

void reference_pack_i4_rows(Rows<const float> weight, Rows<std::uint8_t> stored, Rows<std::uint16_t> scale) {
  pack_grouped_rows(weight, stored, scale, 7, put_i4);
  for (std::int64_t v = 0; v < weight.rows; ++v)
    for (std::int64_t k = weight.cols; k < 2 * stored.cols; ++k) put_i4(stored.row(v), k, 0);
}

void reference_pack_i6_rows(Rows<const float> weight, Rows<std::uint8_t> stored, Rows<std::uint16_t> scale) {
  pack_grouped_rows(weight, stored, scale, 31, put_i6);
  for (std::int64_t v = 0; v < weight.rows; ++v)
    for (std::int64_t k = weight.cols; k < stored.cols / 96 * 128; ++k) put_i6(stored.row(v), k, 0);
}

void reference_codes_to_float(Scheme scheme, Rows<const std::int8_t> codes, Rows<const std::uint8_t> packed,
                              Rows<float> q) {
  std::vector<std::int8_t> unpacked(static_cast<std::size_t>(q.cols));
  for (std::int64_t r = 0; r < q.rows; ++r) {
    const std::int8_t* row = unpacked.data();
    if (is_four_bit(scheme)) {
      reference_unpack4_rows(scheme, {packed.row(r), 1, packed.cols}, {unpacked.data(), 1, q.cols});
    } else {
      row = codes.row(r);
    }
    for (std::int64_t k = 0; k < q.cols; ++k) q.row(r)[k] = static_cast<float>(row[k]);
  }
}

void reference_abs_sum_rows(Rows<const float> x, double* sum) {
  for (std::int64_t r = 0; r < x.rows; ++r) sum[r] = absolute_sum(x.row(r), x.cols);
}

void reference_ternarize_weight(Rows<const float> weight, Rows<std::int8_t> codes, float* alpha,
                                std::uint8_t* status) {
  const SchemeRow& row = row_of(Scheme::ternary);
  const double total =
      lane_sum<double>(weight.rows, [&](std::int64_t n) { return absolute_sum(weight.row(n), weight.cols); });
  const float mean =
      static_cast<float>(total / (static_cast<double>(weight.rows) * static_cast<double>(weight.cols)));
  const bool finite = is_finite(mean);
  *status = finite ? kFinite : kNonFinite;
  *alpha = finite ? clamp_statistic(mean) : kStatisticFloor;
  const float inv = inv_of(row, *alpha);
  for (std::int64_t n = 0; n < weight.rows; ++n)
    for (std::int64_t k = 0; k < weight.cols; ++k)
      codes.row(n)[k] = static_cast<std::int8_t>(finite ? encode(row, weight.row(n)[k], inv) : 0);
}

void reference_gemm_ternary(Rows<const std::int8_t> codes, const float* step, Rows<const std::int8_t> weight,
                            float alpha, Rows<float> y) {
  for (std::int64_t r = 0; r < codes.rows; ++r)
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      std::int64_t acc = 0;
      for (std::int64_t k = 0; k < codes.cols; ++k) acc += codes.row(r)[k] * weight.row(n)[k];
      y.row(r)[n] = epilogue(static_cast<std::int32_t>(acc), step[r], alpha);
    }
}

std::int64_t reference_ternary_sum(const std::int8_t* codes, std::int64_t inputs, TernaryLayout layout,
                                   Rows<const std::uint8_t> packed, std::int64_t output) {
  std::int64_t acc = 0;
  for (std::int64_t k = 0; k < inputs; ++k) {
    const TernaryPlace place = ternary_place(layout, output, k);
    acc += codes[k] * ternary_at(packed.row(place.row)[place.byte], place.code);
  }
  return acc;
}

void reference_rms_norm_rows(Rows<const float> x, const float* gain, double eps, Rows<float> y,
                             float* inverse_rms) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* row = x.row(r);
    const double sum = lane_sum<double>(
        x.cols, [&](std::int64_t k) { return static_cast<double>(row[k]) * static_cast<double>(row[k]); });
    const float inverse = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(x.cols) + eps));
    for (std::int64_t k = 0; k < x.cols; ++k) y.row(r)[k] = (row[k] * inverse) * gain[k];
    if (inverse_rms != nullptr) inverse_rms[r] = inverse;
  }
}

void reference_rms_norm_backward_rows(Rows<const float> x, Rows<const float> dy, const float* gain,
                                      const float* inverse_rms, Rows<float> dx, float* dgain) {
  const std::size_t width = static_cast<std::size_t>(x.cols);
  std::vector<float> total(width, 0.0f), block(width);
  for (std::int64_t first = 0; first < x.rows; first += kGainBlockRows) {
    block.assign(width, 0.0f);
    for (std::int64_t r = first; r < std::min(first + kGainBlockRows, x.rows); ++r) {
      const float *row = x.row(r), *grad = dy.row(r);
      const float inverse = inverse_rms[r];
      const float dot = lane_sum<float>(x.cols, [&](std::int64_t k) { return (grad[k] * gain[k]) * row[k]; });
      const float pull = inverse * inverse * inverse / static_cast<float>(x.cols) * dot;
      for (std::int64_t k = 0; k < x.cols; ++k) {
        block[static_cast<std::size_t>(k)] += (grad[k] * row[k]) * inverse;
        dx.row(r)[k] = (grad[k] * gain[k]) * inverse - row[k] * pull;
      }
    }
    for (std::size_t k = 0; k < width; ++k) total[k] += block[k];
  }
  for (std::size_t k = 0; k < width; ++k) dgain[k] += total[k];
}

void reference_relu2_glu_rows(Rows<const float> gate, Rows<const float> up, Rows<float> y) {
  for (std::int64_t r = 0; r < gate.rows; ++r)
    for (std::int64_t k = 0; k < gate.cols; ++k) y.row(r)[k] = relu2_glu(gate.row(r)[k], up.row(r)[k]);
}

void reference_silu_glu_rows(Rows<const float> gate, Rows<const float> up, Rows<float> y) {
  for (std::int64_t r = 0; r < gate.rows; ++r)
    for (std::int64_t k = 0; k < gate.cols; ++k) y.row(r)[k] = silu_glu(gate.row(r)[k], up.row(r)[k]);
}

void reference_relu2_glu_backward_rows(Rows<const float> gate, Rows<const float> up, Rows<const float> dy,
                                       Rows<float> dgate, Rows<float> dup) {
  for (std::int64_t r = 0; r < gate.rows; ++r)
    for (std::int64_t k = 0; k < gate.cols; ++k) {
      const GluGradient d = relu2_glu_gradient(gate.row(r)[k], up.row(r)[k], dy.row(r)[k]);
      dgate.row(r)[k] = d.gate;
      dup.row(r)[k] = d.up;
    }
}

void reference_silu_glu_backward_rows(Rows<const float> gate, Rows<const float> up, Rows<const float> dy,
                                      Rows<float> dgate, Rows<float> dup) {
  for (std::int64_t r = 0; r < gate.rows; ++r)
    for (std::int64_t k = 0; k < gate.cols; ++k) {
      const GluGradient d = silu_glu_gradient(gate.row(r)[k], up.row(r)[k], dy.row(r)[k]);
      dgate.row(r)[k] = d.gate;
      dup.row(r)[k] = d.up;
    }
}

namespace {

std::uint32_t largest_magnitude(const float* x, std::int64_t count) {
  return magnitude_bits(statistic_of(Statistic::absmax, x, count));
}

}  // namespace

bool reference_encode_cache_row(int bits, const float* x, std::int64_t head_dim, std::uint8_t* stored,
                                F16* gamma) {
  const std::uint32_t largest = largest_magnitude(x, head_dim);
  const bool finite = bits == 32 ? largest < kNonFiniteBits : is_finite(cache_gamma(largest));
  const std::vector<float> zeros(static_cast<std::size_t>(head_dim), 0.0f);
  if (!finite) x = zeros.data();
  if (bits == 32) {
    std::memcpy(stored, x, static_cast<std::size_t>(head_dim) * sizeof(float));
  } else if (bits == 16) {
    for (std::int64_t i = 0; i < head_dim; ++i) reinterpret_cast<F16*>(stored)[i] = to_f16(x[i]);
  } else {
    *gamma = cache_gamma(largest_magnitude(x, head_dim));
    std::fill_n(stored, cache_code_bytes(bits, head_dim), std::uint8_t{0});
    for (std::int64_t i = 0; i < head_dim; ++i)
      put_cache_code(bits, stored, head_dim, i, encode_cache(bits, x[i], widen(*gamma)));
  }
  return finite;
}

float reference_levels_of_cache_row(int bits, const std::uint8_t* stored, F16 gamma, std::int64_t head_dim,
                                    float* u) {
  if (bits == 32) {
    std::memcpy(u, stored, static_cast<std::size_t>(head_dim) * sizeof(float));
    return 1.0f;
  }
  if (bits == 16) {
    for (std::int64_t i = 0; i < head_dim; ++i) u[i] = widen(reinterpret_cast<const F16*>(stored)[i]);
    return 1.0f;
  }
  for (std::int64_t i = 0; i < head_dim; ++i)
    u[i] = static_cast<float>(cache_level(bits, cache_code_at(bits, stored, head_dim, i)));
  return cache_step(bits, widen(gamma));
}

float reference_quantize_query(int q_bits, const float* x, std::int64_t head_dim, std::int8_t* codes) {
  const std::uint32_t largest = largest_magnitude(x, head_dim);
  const SchemeRow& int8 = row_of(Scheme::int8);
  const float stat = clamp_statistic(from_bits(largest)), gamma = widen(cache_gamma(largest));
  for (std::int64_t i = 0; i < head_dim; ++i)
    codes[i] = static_cast<std::int8_t>(q_bits == 8 ? encode(int8, x[i], inv_of(int8, stat))
                                                    : cache_level(4, encode_cache(4, x[i], gamma)));
  return q_bits == 8 ? step_of(int8, stat) : cache_step(4, gamma);
}

bool reference_query_is_finite(int q_bits, const float* x, std::int64_t head_dim) {
  const std::uint32_t largest = largest_magnitude(x, head_dim);
  return q_bits == 4 ? is_finite(cache_gamma(largest)) : largest < kNonFiniteBits;
}

void reference_rope_rows(Rows<const float> x, Rows<float> y, const std::int32_t* position, std::int64_t heads,
                         std::int64_t head_dim, Rows<const float> cos, Rows<const float> sin, bool inverse) {
  const std::int64_t half = head_dim / 2;
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < half; ++i) {
        const float c = cos.row(position[r])[i];
        const float s = inverse ? -sin.row(position[r])[i] : sin.row(position[r])[i];
        const float* in = x.row(r) + h * head_dim;
        const float first = in[i], second = in[i + half];
        y.row(r)[h * head_dim + i] = first * c - second * s;
        y.row(r)[h * head_dim + i + half] = second * c + first * s;
      }
}

}  // namespace a48::quant
