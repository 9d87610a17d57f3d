// The codes of cached keys and values: formulas, grid, error, storage.
#include "core/quant/cache.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/rng.h"
#include "core/quant/reference.h"
#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/seed.h"
#include "tests/support/tolerance.h"

namespace a48::test {

using namespace quant;

namespace {

std::vector<float> gaussian_head(std::int64_t head_dim, std::uint64_t stream, double scale = 1.0) {
  std::vector<float> x;
  for (std::int64_t i = 0; i < head_dim; ++i)
    x.push_back(static_cast<float>(scale * random_normal(seed(), stream, static_cast<std::uint64_t>(i))));
  return x;
}

struct Stored {
  std::vector<std::uint8_t> bytes;
  F16 gamma{};
  bool finite;
  std::vector<float> value;

  Stored(int bits, const std::vector<float>& x) : value(x.size()) {
    const std::int64_t hd = static_cast<std::int64_t>(x.size());
    bytes.resize(static_cast<std::size_t>(cache_row_bytes(bits, hd)));
    finite = reference_encode_cache_row(bits, x.data(), hd, bytes.data(), &gamma);
    const float step = reference_levels_of_cache_row(bits, bytes.data(), gamma, hd, value.data());
    for (float& v : value) v *= step;
  }
};

}  // namespace

TEST_CASE("the worked example of cache.h") {
  const Stored stored(3, {1.0f, -1.0f, 0.0f});
  CHECK(widen(stored.gamma) == 1.0f);
  CHECK(stored.value == std::vector<float>{1.0f, -1.0f, 1.0f / 7.0f});
  CHECK(encode_cache(3, 0.0f, 1.0f) == 4);
  CHECK(encode_cache(4, -0.0f, 1.0f) == 8);
}

TEST_CASE(
    "check 10: every cache code survives its storage, blocks of planes and words of the rest, and takes the "
    "bytes of the formula") {
  for (const CacheCodeRow& row : kCacheCodes) {
    CHECK(row.max_code == cache_max_code(row.bits));
    for (const std::int64_t hd : {1, 7, 8, 33, 64, 100, 128, 136, 2202, 5460}) {
      INFO(row.name << ", hd " << hd);
      CHECK(cache_code_bytes(row.bits, hd) == row.bits * ((hd + 7) / 8));
      for (const int salt : {0, 1, 5}) {
        std::vector<std::uint8_t> stored(static_cast<std::size_t>(cache_code_bytes(row.bits, hd)));
        const auto code = [&](std::int64_t i) {
          return static_cast<int>((i * i + i / 3 + salt) % (row.max_code + 1));
        };
        for (std::int64_t i = 0; i < hd; ++i) put_cache_code(row.bits, stored.data(), hd, i, code(i));
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < hd; ++i)
          wrong += cache_code_at(row.bits, stored.data(), hd, i) != code(i);
        CHECK(wrong == 0);
      }
      // Every bit belongs to one code: all largest codes fill the bytes but for those missing in the last
      // word.
      std::vector<std::uint8_t> full(static_cast<std::size_t>(cache_code_bytes(row.bits, hd)));
      for (std::int64_t i = 0; i < hd; ++i) put_cache_code(row.bits, full.data(), hd, i, row.max_code);
      std::int64_t ones = 0;
      for (const std::uint8_t byte : full) ones += __builtin_popcount(byte);
      CHECK(ones == row.bits * hd);
    }
  }
}

TEST_CASE(
    "check 27: codes and values of 10^6 numbers follow the formulas, a second way written; errors stay below "
    "half a step; the maximum maps to the ends of the grid") {
  for (const CacheCodeRow& row : kCacheCodes) {
    std::int64_t wrong_codes = 0, wrong_values = 0, far = 0, wrong_ends = 0;
    const int levels = row.max_code;
    for (std::uint64_t stream = 0; stream < 10000; ++stream) {
      const std::vector<float> x =
          gaussian_head(100, stream, std::exp2(static_cast<double>(stream % 20) - 10.0));
      const Stored stored(row.bits, x);
      const float gamma = widen(stored.gamma);
      std::size_t largest = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (std::abs(x[i]) > std::abs(x[largest])) largest = i;
        const int code = cache_code_at(row.bits, stored.bytes.data(), 100, static_cast<std::int64_t>(i));
        const float scaled = (x[i] / gamma + 1.0f) / 2.0f * static_cast<float>(levels);
        wrong_codes += code != std::clamp(static_cast<int>(std::nearbyint(scaled)), 0, levels);
        wrong_values +=
            stored.value[i] != static_cast<float>(2 * code - levels) * (gamma / static_cast<float>(levels));
        const double error = std::abs(static_cast<double>(stored.value[i]) - static_cast<double>(x[i]));
        far += error > cache_code_tolerance(static_cast<double>(gamma), levels);
      }
      const int end = cache_code_at(row.bits, stored.bytes.data(), 100, static_cast<std::int64_t>(largest));
      wrong_ends += end != (x[largest] > 0 ? levels : 0);
    }
    INFO(row.name);
    CHECK(wrong_codes == 0);
    CHECK(wrong_values == 0);
    CHECK(far == 0);
    CHECK(wrong_ends == 0);
  }
}

TEST_CASE(
    "check 27: heads of zeros, of minus zeros and of numbers that fp16 rounds to zero decode to +0; the "
    "first "
    "magnitude above does not") {
  for (const CacheCodeRow& row : kCacheCodes) {
    for (const float tiny : {0.0f, -0.0f, 0x1p-25f, -0x1p-25f, 0x1p-149f}) {
      const Stored stored(row.bits, std::vector<float>(100, tiny));
      CHECK(stored.finite);
      CHECK(stored.gamma.bits == 0);
      for (const float v : stored.value) CHECK((v == 0.0f && !std::signbit(v)));
      CHECK(cache_code_at(row.bits, stored.bytes.data(), 100, 5) == (row.bits == 3 ? 4 : 8));
    }
    CHECK(Stored(row.bits, {0x1.8p-25f}).gamma.bits == 1);
  }
}

TEST_CASE("check 29: gamma is fp16 up to 65519.99 and refused from 65520 on, as are NaN and Inf") {
  for (const int bits : {16, 4, 3}) {
    INFO("bits " << bits);
    CHECK(Stored(bits, {1.0f, -65519.996f}).finite);
    for (const float bad : {65520.0f, -65520.0f, 1e30f, INFINITY, -INFINITY, static_cast<float>(NAN)})
      CHECK_FALSE(Stored(bits, {1.0f, bad}).finite);
  }
  CHECK(Stored(32, {1.0f, 1e30f}).finite);
  CHECK_FALSE(Stored(32, {1.0f, NAN}).finite);
}

TEST_CASE("check 27: Gaussian heads reproduce the relative rms errors of mapping A") {
  struct Figure {
    int bits;
    std::int64_t head_dim;
    double error;
  };
  for (const Figure& figure :
       {Figure{3, 64, .215}, Figure{3, 128, .235}, Figure{4, 64, .100}, Figure{4, 128, .109}}) {
    double error = 0.0, size = 0.0;
    for (std::uint64_t stream = 0; stream < 4000; ++stream) {
      const std::vector<float> x = gaussian_head(figure.head_dim, stream);
      const Stored stored(figure.bits, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double off = static_cast<double>(stored.value[i]) - static_cast<double>(x[i]);
        error += off * off;
        size += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      }
    }
    INFO(figure.bits << " bits, hd " << figure.head_dim << ": " << std::sqrt(error / size));
    CHECK(std::abs(std::sqrt(error / size) - figure.error) <= kCacheGaussianError);
  }
}

TEST_CASE(
    "gamma/L by a product and its correction, as the vector kernels compute it, is the division for every "
    "gamma") {
  for (const CacheCodeRow& row : kCacheCodes) {
    const float levels = static_cast<float>(row.max_code), inverse = 1.0f / levels;
    int wrong = 0;
    for (int bits = 0; bits < 0x7c00; ++bits) {
      const float gamma = widen(F16{static_cast<std::uint16_t>(bits)}), near = gamma * inverse;
      wrong += std::fma(std::fma(-levels, near, gamma), inverse, near) != cache_step(row.bits, gamma);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("queries: INT8 absmax, or the level of the 4-bit cache code") {
  const std::vector<float> x = gaussian_head(100, 3);
  std::vector<std::int8_t> codes(x.size());
  float largest = 0.0f;
  for (const float v : x) largest = std::max(largest, std::abs(v));
  const float step8 = reference_quantize_query(8, x.data(), 100, codes.data());
  CHECK(step8 == largest / 127.0f);
  CHECK(std::abs(*std::max_element(codes.begin(), codes.end(),
                                   [](int a, int b) { return std::abs(a) < std::abs(b); })) == 127);
  const float step4 = reference_quantize_query(4, x.data(), 100, codes.data());
  const Stored stored(4, x);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(static_cast<float>(codes[i]) * step4 == stored.value[i]);
}

}  // namespace a48::test
