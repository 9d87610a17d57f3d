#include "core/runtime/synthetic_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/rng.h"

namespace a48::runtime {
namespace {

constexpr int kLevels = 256;  // one byte of random bits a weight

/// The normal distribution in equal parts: quantile((i + 1/2)/256), by bisection of the error function.
std::array<float, kLevels> normal_levels() {
  std::array<float, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const double share = (i + 0.5) / kLevels;
    double low = -6.0, high = 6.0;
    while (high - low > 1e-9) {
      const double middle = 0.5 * (low + high);
      (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
    }
    levels[static_cast<std::size_t>(i)] = static_cast<float>(low);
  }
  return levels;
}

struct Shape {
  std::int64_t rows, cols;
};

Shape shape_of(const std::string& name, const config::Model& m) {
  const std::int64_t d = m.hidden_size, f = m.intermediate_size, kv = m.kv_heads() * m.head_dim();
  const auto ends = [&name](const char* end) { return name.ends_with(end); };
  if (ends("embed_tokens.weight") || name == "lm_head.weight") return {m.vocab_size, d};
  if (ends("q_proj.weight") || ends("o_proj.weight")) return {d, d};
  if (ends("k_proj.weight") || ends("v_proj.weight")) return {kv, d};
  if (ends("gate_proj.weight") || ends("up_proj.weight")) return {f, d};
  if (ends("down_proj.weight")) return {d, f};
  if (ends("ffn_sub_norm.weight")) return {1, f};
  A48_ASSERT(ends("norm.weight"), "no parameter", name);
  return {1, d};
}

}  // namespace

WeightSource synthetic_weights(const config::Model& model, std::uint64_t seed) {
  const auto values = std::make_shared<Buffer<float>>();
  return [model, seed, values, levels = normal_levels()](const std::string& name) -> Rows<const float> {
    const Shape shape = shape_of(name, model);
    const std::int64_t size = shape.rows * shape.cols;
    if (values->size() < size) {
      *values = Buffer<float>();
      *values = Buffer<float>(size);
    }
    float* out = values->data();
    if (shape.rows == 1) {
      std::fill(out, out + size, 1.0f);
    } else {
      const float deviation = 1.0f / std::sqrt(static_cast<float>(shape.cols));
      const std::uint64_t stream = stream_of(name.c_str());
      parallel_for((size + 7) / 8, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t word = begin; word < end; ++word) {
          std::uint64_t bits = random_bits(seed, stream, static_cast<std::uint64_t>(word));
          for (std::int64_t i = 8 * word; i < std::min(size, 8 * word + 8); ++i, bits >>= 8)
            out[i] = deviation * levels[bits & 255];
        }
      });
    }
    return {out, shape.rows, shape.cols};
  };
}

}  // namespace a48::runtime
