// Attention: both paths against a reference in double, derivatives, sequences that do not see each other.
#include "core/ops/attention.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"

namespace a48::test {
namespace {

at::Tensor attention_in_double(const std::vector<at::Tensor>& qkv, const ops::AttentionShape& shape) {
  std::vector<at::Tensor> sequences;
  for (std::size_t s = 0; s + 1 < shape.begin.size(); ++s) {
    const std::int64_t first = shape.begin[s], count = shape.begin[s + 1] - first;
    const auto heads = [&](const at::Tensor& rows, std::int64_t n) {  // [H, T, hd]
      const at::Tensor x = rows.narrow(0, first, count).view({count, n, shape.head_dim}).transpose(0, 1);
      return n == shape.heads ? x : x.repeat_interleave(shape.heads / n, 0);
    };
    const at::Tensor scores =
        heads(qkv[0], shape.heads).matmul(heads(qkv[1], shape.kv_heads).transpose(1, 2)) /
        std::sqrt(static_cast<double>(shape.head_dim));
    const at::Tensor future = torch::full({count, count}, -INFINITY, torch::kDouble).triu(1);
    const at::Tensor y = (scores + future).softmax(-1).matmul(heads(qkv[2], shape.kv_heads));
    sequences.push_back(y.transpose(0, 1).reshape({count, shape.heads * shape.head_dim}));
  }
  return torch::cat(sequences);
}

std::vector<at::Tensor> random_qkv(const ops::AttentionShape& shape) {
  const std::int64_t rows = shape.begin.back();
  return {normal({rows, shape.heads * shape.head_dim}, 1), normal({rows, shape.kv_heads * shape.head_dim}, 2),
          normal({rows, shape.kv_heads * shape.head_dim}, 3)};
}

const std::vector<ops::AttentionShape> kShapes{
    {2, 2, 4, {0, 3, 6}},     // equal lengths
    {2, 2, 4, {0, 1, 6, 8}},  // different lengths
    {4, 2, 6, {0, 5, 7}},     // grouped key/value heads
};

using Attention = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                 const ops::AttentionShape&);

}  // namespace

TEST_CASE("exact and sdpa attention have the exact derivative, for ragged sequences and grouped heads") {
  for (const Attention attention : {ops::exact_attention, ops::sdpa_attention}) {
    for (const ops::AttentionShape& shape : kShapes) {
      const auto errors =
          gradient_errors([&](const auto& in) { return attention(in[0], in[1], in[2], shape); },
                          [&](const auto& in) { return attention_in_double(in, shape); }, random_qkv(shape));
      for (const double error : errors)
        CHECK(error < gradient_tolerance(shape.head_dim + shape.begin.back()));
    }
  }
}

TEST_CASE("check 25: sdpa differs from exact attention by relative L2 <= 1e-5 on equal inputs") {
  constexpr double kSpecified = 1e-5;
  const ops::AttentionShape shape{4, 2, 32, {0, 300, 310, 600}};
  const std::vector<at::Tensor> qkv = random_qkv(shape);
  const at::Tensor exact = ops::exact_attention(qkv[0], qkv[1], qkv[2], shape);
  CHECK(relative_error(exact, attention_in_double({qkv[0].to(torch::kDouble), qkv[1].to(torch::kDouble),
                                                   qkv[2].to(torch::kDouble)},
                                                  shape)) < kSpecified);
  CHECK(relative_error(ops::sdpa_attention(qkv[0], qkv[1], qkv[2], shape), exact) < kSpecified);
}

TEST_CASE("check 21: exact attention of a sequence does not depend on its neighbours or on later tokens") {
  const ops::AttentionShape together{2, 2, 8, {0, 270, 300}}, alone{2, 2, 8, {0, 260}};
  std::vector<at::Tensor> qkv = random_qkv(together);
  const at::Tensor y = ops::exact_attention(qkv[0], qkv[1], qkv[2], together);
  const auto part = [&](std::size_t i) { return qkv[i].narrow(0, 0, 260); };
  CHECK(same_bits(ops::exact_attention(part(0), part(1), part(2), alone), y.narrow(0, 0, 260)));
}

TEST_CASE("check 20: grouped key/value heads equal their repeated ones, bit for bit") {
  const ops::AttentionShape grouped{4, 2, 8, {0, 9}}, full{4, 4, 8, {0, 9}};
  const std::vector<at::Tensor> qkv = random_qkv(grouped);
  const auto repeated = [](const at::Tensor& x) {
    return x.view({9, 2, 8}).repeat_interleave(2, 1).reshape({9, 32});
  };
  CHECK(same_bits(ops::exact_attention(qkv[0], qkv[1], qkv[2], grouped),
                  ops::exact_attention(qkv[0], repeated(qkv[1]), repeated(qkv[2]), full)));
}

}  // namespace a48::test
