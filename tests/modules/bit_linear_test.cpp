// BitLinear the module: cached codes, slots, the seed's quantizer classes.
#include "modules/bit_linear.h"

#include "core/ops/bit_linear.h"
#include "modules/quantizers.h"
#include "tests/modules/small_model.h"
#include "tests/support/catch.h"

namespace a48::test {

TEST_CASE("S13: ternary codes are made once and again after every write to the master") {
  const at::NoGradGuard no_grad;
  nn::BitLinear layer(20, 10);
  layer->weight.copy_(normal({10, 20}, 1));
  const void* codes = layer->ternary().codes.data_ptr();
  CHECK(layer->ternary().codes.data_ptr() == codes);
  const at::Tensor before = layer->ternary().codes;
  layer->weight.neg_();  // seen by the version counter
  CHECK(torch::equal(layer->ternary().codes, -before));
  CHECK(torch::equal(before, -layer->ternary().codes));  // an earlier result stays as it was
  layer->weight.data_ptr<float>()[0] = 1e6f;             // not seen: a write through a pointer
  layer->weights_changed();
  CHECK(layer->ternary().codes[0][0].item<int>() == 1);
  CHECK(layer->ternary().codes.count_nonzero().item<int>() == 1);  // all others are small beside it
}

TEST_CASE("the eager form that speed is compared with has the values and gradients of ours") {
  for (const quant::Scheme scheme : {quant::Scheme::int8, quant::Scheme::int4, quant::Scheme::fp4}) {
    for (const double keep : {1.0, 0.5}) {
      INFO(quant::row_of(scheme).name << " keep " << keep);
      std::vector<std::vector<at::Tensor>> found;
      for (const bool eager : {false, true}) {
        nn::BitLinear layer(40, 6);
        {
          const at::NoGradGuard no_grad;
          layer->weight.copy_(normal({6, 40}, 8));
        }
        layer->set_slot({scheme, keep, true});
        layer->set_eager(eager);
        const at::Tensor x = normal({9, 40}, 9).requires_grad_();
        const at::Tensor y = layer(x);
        y.backward(normal({9, 6}, 10));
        found.push_back({y.detach(), x.grad(), layer->weight.grad()});
      }
      for (std::size_t i = 0; i < found[0].size(); ++i)  // numerics.md 4.1: within 1e-5
        CHECK(relative_error(found[1][i], found[0][i]) < 1e-5);
    }
  }
}

TEST_CASE(
    "slots choose the product: float, ternary with float input, quantized; float weights with quantized "
    "input") {
  nn::BitLinear layer(32, 6);
  {
    const at::NoGradGuard no_grad;
    layer->weight.copy_(normal({6, 32}, 2));
  }
  const at::Tensor x = normal({4, 32}, 3);
  layer->set_slot({quant::Scheme::fp, 1.0, false});
  CHECK(same_bits(layer(x), at::linear(x, layer->weight)));
  layer->set_slot({quant::Scheme::int4, 1.0, false});
  CHECK(same_bits(layer(x), at::linear(ops::fake_quant(x, quant::Scheme::int4), layer->weight)));
  const ops::LinearWeight weight{layer->weight, layer->ternary(), "w"};
  layer->set_slot({quant::Scheme::fp, 1.0, true});
  CHECK(same_bits(layer(x), ops::ternary_linear(x, {&weight, 1}).front()));
  layer->set_slot({quant::Scheme::fp, 0.5, true});
  CHECK(same_bits(layer(x), ops::ternary_linear(ops::topk(x, 0.5).first, {&weight, 1}).front()));
  layer->set_slot({quant::Scheme::int8, 0.5, true});
  CHECK(same_bits(layer(x), ops::bit_linear(x, {&weight, 1}, {quant::Scheme::int8, 0.5}).front()));
  CHECK(layer(x).requires_grad());
}

TEST_CASE("zero codes of the input are counted for ternary and for float weights alike") {
  const at::NoGradGuard no_grad;
  nn::BitLinear layer(32, 6);
  layer->weight.copy_(normal({6, 32}, 2));
  const at::Tensor x = normal({40, 32}, 3);
  for (const quant::Scheme scheme : {quant::Scheme::int4, quant::Scheme::int8, quant::Scheme::fp4}) {
    const at::Tensor codes = ops::encode(ops::topk(x, 0.5).first, scheme).codes;
    const std::int64_t wanted = codes.numel() - codes.count_nonzero().item<std::int64_t>();
    runtime::ZeroCount counts[2];
    for (const bool ternary : {false, true}) {
      layer->set_slot({scheme, 0.5, ternary});
      nn::shared_input(x, {layer}, &counts[ternary]);
    }
    CHECK(counts[false].zeros == wanted);
    CHECK(counts[false].total == 40 * 32);
    if (scheme != quant::Scheme::int4) CHECK(counts[true].zeros == wanted);
  }
  runtime::ZeroCount none;
  layer->set_slot({quant::Scheme::fp, 1.0, false});
  nn::shared_input(x, {layer}, &none);
  CHECK(none.total == 0);  // a float input has no codes
}

TEST_CASE("S1, S2, S3: the seed's quantizer classes give right values and pass gradients") {
  nn::Int4Quantizer int4;
  nn::Int8Quantizer int8;
  nn::Fp4Quantizer fp4;
  nn::TernaryQuantizer ternary;
  nn::TopKSparsifier topk(0.5);
  const at::Tensor x = normal({2, 3, 64}, 4).requires_grad_();
  CHECK(same_bits(int4(x), ops::fake_quant(x, quant::Scheme::int4)));
  CHECK(same_bits(int8(x), ops::fake_quant(x, quant::Scheme::int8)));
  CHECK(same_bits(fp4(x), ops::fake_quant(x, quant::Scheme::fp4)));
  CHECK(int8->codes(x).codes.abs().max().item<int>() == 127);
  CHECK(ternary->codes(x[0]).step.numel() == 1);
  const auto [kept, mask] = topk->forward(x);
  CHECK(mask.sum(-1).eq(32).all().item<bool>());
  const at::Tensor smallest_kept = (x.abs() + (1 - mask) * 1e9).amin(-1),
                   largest_dropped = (x.abs() * (1 - mask)).amax(-1);
  CHECK(smallest_kept.ge(largest_dropped).all().item<bool>());
  (int4(x).sum() + ternary(x).sum() + kept.sum()).backward();
  CHECK(torch::equal(x.grad(), torch::full_like(x, 3.0)));
}

}  // namespace a48::test
