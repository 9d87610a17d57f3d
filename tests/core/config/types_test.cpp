#include "core/config/types.h"

#include "core/config/presets.h"
#include "tests/core/config/example.h"
#include "tests/support/catch.h"

namespace a48::test {
using namespace config;

TEST_CASE("check 38: the presets' matrices hold the stated numbers of weights") {
  CHECK(non_embedding_parameters(model_preset("700M")) == 679'477'248);
  CHECK(non_embedding_parameters(model_preset("1.3B")) == 1'207'762'944);
  CHECK(non_embedding_parameters(model_preset("3B")) == 3'221'504'000);
  CHECK(non_embedding_parameters(model_preset("7B")) == 6'476'005'376);
}

TEST_CASE("parameters of a small model, counted by hand") {
  Model model;
  model.vocab_size = 10;
  model.hidden_size = 8;
  model.intermediate_size = 12;
  model.num_hidden_layers = 2;
  model.num_attention_heads = 4;
  model.num_key_value_heads = 2;
  // Per block q, o 8x8; k, v 4x8; gate, up, down 12x8; gains 8 + 8 + 8 + 12.
  CHECK(non_embedding_parameters(model) == 2 * (2 * 64 + 2 * 32 + 3 * 96));
  CHECK(embedding_parameters(model) == 2 * 80);
  CHECK(total_parameters(model) == 2 * 480 + 160 + 2 * 36 + 8);
  model.tie_word_embeddings = true;
  model.sub_norm = false;
  CHECK(embedding_parameters(model) == 80);
  CHECK(total_parameters(model) == 2 * 480 + 80 + 2 * 16 + 8);
}

TEST_CASE("a stage ends at S - floor((1 - until) S + 0.5)") {
  RunConfig config;
  config.stages.assign(2, Stage{});
  config.stages[0].until = 0.95;
  const std::pair<std::int64_t, std::int64_t> ends[] = {{100, 95}, {1000, 950}, {95368, 90600},
                                                        {10, 9},   {9, 9},      {30, 28}};
  for (const auto& [steps, end] : ends) {
    config.run.max_steps = steps;
    CHECK(stage_end(config, 0) == end);
    CHECK(stage_end(config, 1) == steps);
  }
}

TEST_CASE("the stage of a step changes exactly at the end of the one before") {
  RunConfig config;
  config.stages.assign(3, Stage{});
  config.stages[0].until = 0.5;
  config.stages[1].until = 0.9;
  config.run.max_steps = 10;
  const std::size_t expected[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 2};
  for (std::int64_t step = 0; step < 10; ++step) CHECK(stage_at(config, step) == expected[step]);
}

TEST_CASE("a stage's slots are its mode's with the single overrides laid over them") {
  CHECK(slots_of(quant::Mode::a4_8, {}) == quant::row_of(quant::Mode::a4_8).slots);
  Quant overrides;
  overrides.down = quant::Scheme::int4_absmax;
  overrides.topk_keep_o = 0.75;
  overrides.ternary_weights = false;
  const quant::Slots slots = slots_of(quant::Mode::a4_8, overrides);
  CHECK(slots.down == quant::Scheme::int4_absmax);
  CHECK(slots.topk_keep_o == 0.75);
  CHECK_FALSE(slots.ternary_weights);
  CHECK(slots.qkv == quant::Scheme::int4);
}

}  // namespace a48::test
