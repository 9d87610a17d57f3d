#include "core/runtime/sparsity.h"

#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

namespace a48::runtime {
namespace {

/// Half of the last printed digit of a share in percent.
constexpr double kPrintedShare = 0.05 / 100;

Sparsity shares(double qkv, double out, double up, double gate, double down) {
  Sparsity result;
  result.qkv = qkv / 100;
  result.out = out / 100;
  result.up = up / 100;
  result.gate = gate / 100;
  result.down = down / 100;
  return result;
}

TEST_CASE("check 38: the rows of Table 2 give their Overall, and the 7B row 44.5 % and 3.59B") {
  struct Row {
    const char* preset;
    Sparsity columns;
    double overall, active;  // as printed; 3.59 where the paper's 3.4 contradicts its own share
    double active_digit;     // half of the last printed digit
  };
  const Row rows[] = {{"700M", shares(12.1, 50.0, 66.2, 12.1, 80.9), 42.5, 0.390e9, 0.0005e9},
                      {"1.3B", shares(12.0, 50.0, 65.9, 12.1, 81.8), 42.7, 0.7e9, 0.05e9},
                      {"3B", shares(12.1, 50.0, 70.7, 12.1, 85.6), 44.7, 1.8e9, 0.05e9},
                      {"7B", shares(12.1, 50.0, 71.4, 12.0, 84.2), 44.5, 3.59e9, 0.005e9}};
  for (Row row : rows) {
    INFO(row.preset);
    const config::Model model = config::model_preset(row.preset);
    complete_sparsity(row.columns, model);
    // Overall is computed from columns that are rounded themselves, each by as much.
    CHECK(std::abs(row.columns.overall - row.overall / 100) <= 2 * kPrintedShare);
    const double non_embedding = static_cast<double>(config::non_embedding_parameters(model));
    CHECK(std::abs(row.columns.active_parameters - row.active) <=
          row.active_digit + 2 * kPrintedShare * non_embedding);
  }
}

TEST_CASE("check 38: preset matrices hold the weights of Table 2") {
  CHECK(config::non_embedding_parameters(config::model_preset("700M")) == 679'477'248);
  CHECK(config::non_embedding_parameters(config::model_preset("1.3B")) == 1'207'762'944);
  CHECK(config::non_embedding_parameters(config::model_preset("3B")) == 3'221'504'000);
  CHECK(config::non_embedding_parameters(config::model_preset("7B")) == 6'476'005'376);
}

TEST_CASE("check 38: shares are zeros over values, up is one minus what both leave") {
  config::Model model;
  model.hidden_size = 8;
  model.intermediate_size = 12;
  model.num_hidden_layers = 1;
  model.num_attention_heads = 2;
  SparsityCounts counts;
  counts.qkv.add(1, 8);
  counts.qkv.add(1, 8);
  counts.out.add(8, 16);
  counts.gate.add(4, 16);
  counts.down.add(18, 24);
  counts.gate_output.add(12, 24);
  const Sparsity result = sparsity_of(counts, model);
  CHECK(result.measured);
  CHECK(result.qkv == 0.125);
  CHECK(result.out == 0.5);
  CHECK(result.gate == 0.25);
  CHECK(result.down == 0.75);
  CHECK(result.gate_output == 0.5);
  CHECK(result.up == 0.625);
  // (3·64·0.125 + 64·0.5 + 96·(0.625 + 0.25 + 0.75)) / (4·64 + 3·96)
  CHECK(result.overall == (24.0 + 32.0 + 156.0) / 544.0);
  CHECK(result.active_parameters == 544.0 * (1.0 - result.overall));
}

TEST_CASE("check 38: under GQA key and value matrices count with their true size") {
  config::Model model;
  model.hidden_size = 8;
  model.intermediate_size = 12;
  model.num_hidden_layers = 1;
  model.num_attention_heads = 4;
  model.num_key_value_heads = 1;  // k and v are 2 × 8
  Sparsity result = shares(100, 0, 0, 0, 0);
  complete_sparsity(result, model);
  CHECK(result.overall == (64.0 + 2 * 16.0) / (64.0 + 2 * 16.0 + 64.0 + 3 * 96.0));
}

TEST_CASE("sparsity: nothing counted is not measured") {
  CHECK(!sparsity_of({}, config::model_preset("11M")).measured);
}

}  // namespace
}  // namespace a48::runtime
