// The library in one page: build a small BitNet a4.8, train it for a few steps, continue a sequence.
#include <cstdio>

#include "modules/modules.h"

int main() {
  a48::ops::use_torch_threads();

  // Hidden size, feed-forward size, layers, heads; more fields by name. Without arguments: the 7B shape.
  a48::BitNetForCausalLM model = a48::create_causal_lm(64, 160, 2, 4, {.vocab_size = 256, .seed = 1});
  const torch::Tensor ids = torch::randint(3, 256, {4, 33}, torch::kLong);
  const torch::Tensor inputs = ids.narrow(1, 0, 32), labels = ids.narrow(1, 1, 32);

  torch::optim::AdamW optimizer(model->parameters(), torch::optim::AdamWOptions(2e-3));
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const torch::Tensor loss = model->loss(inputs, labels);
    loss.backward();
    optimizer.step();
    model->weights_changed();  // the ternary codes are made anew
    if (step % 10 == 9) std::printf("step %d: loss %.3f\n", step + 1, loss.item<double>());
  }

  // Hidden states of a bare model, with a mask: 1 = real token, 0 = padding.
  a48::BitNetModel body = a48::create_model(64, 160, 2, 4, {.vocab_size = 256});
  const torch::Tensor hidden = body->forward(inputs, torch::ones({4, 32}, torch::kLong));  // [4, 32, 64]
  std::printf("hidden states: %ld x %ld x %ld\n", static_cast<long>(hidden.size(0)),
              static_cast<long>(hidden.size(1)), static_cast<long>(hidden.size(2)));

  const auto text =
      model->generate(inputs.narrow(0, 0, 1), {}, {.max_new_tokens = 8, .sampler = {.temperature = 0.0}});
  std::printf("%zu new tokens\n", text[0].size());
  return hidden.size(2) == 64 ? 0 : 1;
}
